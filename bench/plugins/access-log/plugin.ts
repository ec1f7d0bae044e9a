import { createWriteStream } from 'node:fs'
import type { PluginMain as Main } from '@cardea/sdk'

interface Config {
  file: string
  /** Lines are written once so many characters are gathered, */
  buffer_bytes: number
  /** and at least this often. */
  flush_ms: number
}

export const PluginMain: Main<Config> = (config, host) => {
  const stream = createWriteStream(config.file, { flags: 'a' })
  stream.on('error', (error) => host.log.error('Cannot write the access log', { error: error.message }))
  let lines = ''
  const flush = () => {
    if (lines !== '') stream.write(lines)
    lines = ''
  }
  host.setInterval(flush, config.flush_ms)
  return {
    name: 'access-log',
    handle: () => true,
    onFinish(ctx, record) {
      const agent = ctx.request.headers.get('user-agent') ?? '-'
      const time = new Date(record.startedAt).toISOString()
      const request = `"${record.method} ${record.url} ${record.protocol}"`
      lines += `${record.clientIp} ${time} ${request} ${record.status} ${record.responseBytes} ${record.durations.total.toFixed(3)} "${agent}" ${record.id}\n`
      if (lines.length >= config.buffer_bytes) flush()
    },
    stop() {
      flush()
      stream.end()
    },
  }
}
