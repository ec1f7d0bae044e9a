import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { startGateway, type TestGateway } from './support/gateway.ts'
import { logged } from './support/log-lines.ts'
import { waitFor } from './support/wait-for.ts'

/** The built-in access log in a whole gateway: its files, through changes and to the end. */

type LogConfig = Readonly<Record<string, unknown>>

function configWith(...logs: LogConfig[]) {
  const routes = logs.map((config, index) => ({
    name: `r${index}`,
    path: `/${index}/*`,
    respond: { status: 204 },
    plugins: { 'access-log': { config: { format: 'template', template: '{path}', ...config } } },
  }))
  return { workers: 1, listen: [{ host: '127.0.0.1', port: 0 }], routes }
}

const save = (gateway: TestGateway, ...logs: LogConfig[]): Promise<unknown> =>
  gateway.dir.write({ 'cardea.yaml': JSON.stringify(configWith(...logs)) })

/** Paths of 100 characters, so that 20 of them fill a file of 1 KiB. */
async function askFor(gateway: TestGateway, name: string): Promise<string[]> {
  const paths = Array.from({ length: 20 }, (_, index) => `/0/${name}-${index}`.padEnd(100, '-'))
  for (const path of paths) await (await fetch(new URL(path, gateway.url))).text()
  return paths
}

test('a change that is rejected leaves the rotation of a log as it was: no line is deleted', async (t) => {
  const serving = { file: 'one.log', rotate_size: '1KiB', keep: 100 }
  const gateway = await startGateway(t, { config: configWith(serving) })
  const logs = join(gateway.dir.path, 'logs')
  const asked = await askFor(gateway, 'before')
  await waitFor(async () => (await readdir(logs)).includes('one.log.1'), 'the first rotation')
  await save(gateway, { ...serving, keep: 0 }, { file: '../bad.log' })
  await logged(gateway, /is not a file of the logs folder/)
  asked.push(...(await askFor(gateway, 'after')))
  await waitFor(async () => {
    const files = (await readdir(logs)).filter((name) => name.startsWith('one.log.'))
    const texts = await Promise.all(files.map((name) => readFile(join(logs, name), 'utf8')))
    const lines = texts.join('').trim().split('\n')
    return files.length >= 2 && asked.every((path) => lines.includes(path))
  }, 'all lines to be in rotated files')
})

test('two routes that disagree on one log lose no line and are warned of; when one goes, the other has its way', async (t) => {
  const rotated = { file: 'one.log', rotate_size: '1KiB', keep: 9 }
  const gateway = await startGateway(t, { config: configWith(rotated, { ...rotated, rotate_size: '0' }) })
  await logged(gateway, /disagree on how the log file "one\.log" is rotated: size never or 1024 bytes/)
  await askFor(gateway, 'kept')
  await save(gateway, rotated)
  await logged(gateway, /^Generation 2 is live/)
  const logs = join(gateway.dir.path, 'logs')
  await waitFor(async () => (await readdir(logs)).includes('one.log.1'), 'the file to be rotated')
})
