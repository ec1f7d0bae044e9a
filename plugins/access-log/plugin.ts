import { durationMs, type FinishRecord, type Host, type Middleware, sizeBytes } from '@cardea/sdk'
import { combinedFormat, commonFormat, type Format, templateFormat } from './formats.ts'
import { jsonFormat } from './json-format.ts'
import { redactionOf } from './redact.ts'

/** What config_schema in plugin.json describes. */
interface Config {
  format: 'common' | 'combined' | 'json' | 'template'
  fields: string[]
  template: string
  file: string
  /** Such as "100MiB". */
  rotate_size: string
  /** Such as "1d". */
  rotate_every: string
  keep: number
  sample: number
  sample_below_status: number
  redact_headers: string[]
  redact_query: string[]
}

/** What `host.sink` asks for. */
const ROTATE_PERIOD_MS_MIN = 1_000

/** Writes a line when an exchange is over. The sink never blocks: what it cannot take is dropped and counted. */
export function PluginMain(config: Config, host: Host): Middleware<Config> {
  const format = formatOf(config)
  const rotatePeriodMs = durationMs(config.rotate_every)
  if (rotatePeriodMs > 0 && rotatePeriodMs < ROTATE_PERIOD_MS_MIN) {
    throw new Error(`"rotate_every" is ${config.rotate_every}; use at least 1s, or 0 for never`)
  }
  const sink = host.sink(config.file, {
    rotateBytes: sizeBytes(config.rotate_size),
    rotatePeriodMs,
    keep: config.keep,
  })
  /** As many of those that were dropped as some line has told of. */
  let told = sink.dropped
  return {
    name: 'access-log',
    handle: () => true,
    onFinish(ctx, record) {
      if (!isChosen(config, record)) return
      const { dropped } = sink
      if (sink.write(format(ctx, record, dropped - told))) told = dropped
    },
  }
}

function isChosen(config: Config, record: FinishRecord): boolean {
  if (config.sample === 1) return true
  if (record.status >= config.sample_below_status || record.error !== null || record.aborted) return true
  return Math.random() < config.sample
}

function formatOf(config: Config): Format {
  const redaction = redactionOf(config.redact_headers, config.redact_query)
  switch (config.format) {
    case 'common':
      return commonFormat(redaction)
    case 'combined':
      return combinedFormat(redaction)
    case 'json':
      return jsonFormat(config.fields, redaction)
    case 'template':
      return templateFormat(config.template, redaction)
  }
}
