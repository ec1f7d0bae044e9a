import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Log } from '@cardea/sdk'
import { builtInPluginsDirectory, LOGS_FOLDER } from '../../packages/gateway/src/base/own-folders.ts'
import { loadConfigFile } from '../../packages/gateway/src/config/load.ts'
import { stopBuildService } from '../../packages/gateway/src/control-plane/build.ts'
import { PluginLifecycle } from '../../packages/gateway/src/control-plane/lifecycle.ts'
import { NodeKeeper } from '../../packages/gateway/src/control-plane/node-services/node-keeper.ts'
import { prepareGeneration } from '../../packages/gateway/src/control-plane/prepare.ts'
import { SYSTEM } from '../../packages/gateway/src/plugin-host/host.ts'
import { InstancePool } from '../../packages/gateway/src/plugin-host/instance-pool.ts'
import {
  filesOn,
  type LineFile,
  type LineFiles,
} from '../../packages/gateway/src/plugin-host/node-services/line-file.ts'
import { NodeClient } from '../../packages/gateway/src/plugin-host/node-services/node-client.ts'
import type { GenerationPlan } from '../../packages/gateway/src/protocol/generation.ts'
import type { Verdict } from '../bars.ts'
import { table } from '../report.ts'
import { type Spread, spread } from '../statistics.ts'
import { type BuiltInCase, configOf, fieldsOf } from './built-in-cases.ts'
import { head } from './codec.ts'
import { compile, type ExchangeOperation, operationOf } from './exchange.ts'

/** What the built-in plugins add to an exchange: the same request through a chain without and with one of them. */

export interface BuiltInRow {
  readonly name: string
  /** Microseconds of CPU per exchange: with an empty chain, and what the plugin adds. */
  readonly empty: Spread
  readonly added: Spread
  readonly addedMicrosecondsMax: number
}

const BLOCKS = 10
/** Between two of them the process does what is due: timers, writes to files. */
const SLICE = 500

/** Each chain handles `count` exchanges, in blocks that take turns, after a warm-up of one block. */
export async function measureBuiltIns(
  cases: readonly BuiltInCase[],
  count: number,
): Promise<readonly BuiltInRow[]> {
  const rows: BuiltInRow[] = []
  for (const builtIn of cases) {
    await using stage = await open(builtIn)
    rows.push(await measure(builtIn, stage, Math.ceil(count / BLOCKS)))
  }
  await stopBuildService()
  return rows
}

async function measure(
  { name, addedMicrosecondsMax }: BuiltInCase,
  { empty, plugin, disk, assertQuiet }: Stage,
  blockCount: number,
): Promise<BuiltInRow> {
  await cpuOf(empty, blockCount, disk)
  await cpuOf(plugin, blockCount, disk)
  const without: number[] = []
  const added: number[] = []
  for (let block = 0; block < BLOCKS; block++) {
    // Who comes first takes turns as well: what the machine does meanwhile hits both alike.
    const first = block % 2 === 0
    const before = first ? await cpuOf(empty, blockCount, disk) : 0
    const through = await cpuOf(plugin, blockCount, disk)
    const after = first ? before : await cpuOf(empty, blockCount, disk)
    without.push(after)
    added.push(through - after)
  }
  assertQuiet()
  return { name, empty: spread(without), added: spread(added), addedMicrosecondsMax }
}

/** Microseconds of CPU per run, of all threads of this process. */
async function cpuOf(operation: ExchangeOperation, count: number, disk: Disk): Promise<number> {
  const forwardedBefore = operation.forwarded
  const started = process.cpuUsage()
  let checksum = 0
  for (let done = 0; done < count; done += SLICE) {
    for (let at = 0; at < SLICE; at++) checksum = (checksum + operation.run()) | 0
    await nextTurn()
    // There are no clients here that would wait for anything: without this more is written than any disk takes.
    await disk.isQuiet()
  }
  const { user, system } = process.cpuUsage(started)
  const runs = Math.ceil(count / SLICE) * SLICE
  if (checksum === 0 || operation.forwarded - forwardedBefore !== runs) {
    throw new Error(`Not every exchange of ${operation.name} came to the upstream.`)
  }
  return (user + system) / runs
}

interface Stage extends AsyncDisposable {
  readonly empty: ExchangeOperation
  readonly plugin: ExchangeOperation
  readonly disk: Disk
  /** Throws when something was logged: lines that are dropped cost too little. */
  assertQuiet(): void
}

/** Starts the plugin as a worker does: bundled, with its config checked, and with the node's services behind its host. */
export async function open(builtIn: BuiltInCase): Promise<Stage> {
  const { name, plugin } = builtIn
  await using undo = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'cardea-bench-'))
  undo.defer(() => rm(directory, { recursive: true, force: true }))
  const plan = await planOf(directory, plugin, await configOf(builtIn))
  const logged: string[] = []
  const log = recordingLog(logged)
  const disk = new Disk(filesOn(join(directory, LOGS_FOLDER)))
  const node = nodeIn(directory, disk, log, undo)
  const pool = new InstancePool({ log, surroundings: { ...SYSTEM, node } })
  const held = await pool.stage(plan)
  undo.defer(() => held.release())
  const [failure] = held.commit()
  if (failure !== undefined) throw failure
  const request = head('GET /small?page=2 HTTP/1.1', {
    Host: '127.0.0.1:8080',
    'User-Agent': 'wrk',
    Accept: '*/*',
    ...(await fieldsOf(builtIn)),
  })
  const emptied = { ...plan, instances: [], routes: plan.routes.map((route) => ({ ...route, chain: [] })) }
  const operation = operationOf(name, compile(plan, held.instances), request)
  await settle(operation)
  const acquired = undo.move()
  return {
    empty: operationOf('empty chain', compile(emptied, new Map()), request),
    plugin: operation,
    disk,
    assertQuiet() {
      if (logged.length > 0) throw new Error(`${name} is not quiet: ${logged.join('; ')}`)
    },
    [Symbol.asyncDispose]: () => acquired.disposeAsync(),
  }
}

const SETTLE_TURNS_MAX = 10_000

/** The first request may wait for what those that follow find done, such as the signature of their token. */
async function settle(operation: ExchangeOperation): Promise<void> {
  operation.run()
  for (let turn = 0; operation.forwarded === 0; turn++) {
    if (turn === SETTLE_TURNS_MAX) throw new Error(`No exchange of ${operation.name} came to the upstream.`)
    await nextTurn()
  }
}

async function planOf(
  directory: string,
  plugin: string,
  config: Readonly<Record<string, unknown>>,
): Promise<GenerationPlan> {
  const file = join(directory, 'cardea.json')
  const text = JSON.stringify({
    upstreams: { origin: { targets: ['http://127.0.0.1:3000'] } },
    routes: [{ name: 'all', path: '/*', upstream: 'origin', plugins: { [plugin]: { config } } }],
  })
  const loaded = await loadConfigFile(file, { env: {}, readFile: async () => text })
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
  const prepared = await prepareGeneration({
    config: loaded.config,
    number: 1,
    directories: { user: join(directory, 'plugins'), builtIn: builtInPluginsDirectory() },
    lifecycle: new PluginLifecycle(),
  })
  if (!prepared.ok) throw new Error(prepared.problems.map(({ message }) => message).join('\n'))
  return prepared.plan
}

/** Files that tell when nothing is being written to them. */
class Disk implements LineFiles {
  readonly #files: LineFiles
  readonly #writes = new Set<Promise<unknown>>()

  constructor(files: LineFiles) {
    this.#files = files
  }

  async open(file: string): Promise<LineFile> {
    const opened = await this.#files.open(file)
    const append = (bytes: Uint8Array): Promise<number> => {
      const write = opened.append(bytes).finally(() => this.#writes.delete(write))
      this.#writes.add(write)
      return write
    }
    return { append, appendSync: (bytes) => opened.appendSync(bytes), close: () => opened.close() }
  }

  openSync(file: string): LineFile {
    return this.#files.openSync(file)
  }

  async isQuiet(): Promise<void> {
    while (this.#writes.size > 0) {
      await Promise.all(this.#writes)
      // Who has more begins with it now.
      await nextTurn()
    }
  }
}

/** The services of a node with this one worker, in this process. */
function nodeIn(directory: string, logs: LineFiles, log: Log, undo: AsyncDisposableStack): NodeClient {
  const client: NodeClient = new NodeClient({
    workers: 1,
    logs,
    log,
    send: (request) => queueMicrotask(() => keeper.request(1, request)),
  })
  const keeper = new NodeKeeper({
    directory: null,
    logsDirectory: join(directory, LOGS_FOLDER),
    workers: 1,
    log,
    send: (_, answer) => queueMicrotask(() => client.receive(answer)),
  })
  undo.defer(() => keeper.close())
  undo.defer(() => client.close())
  keeper.workerSpawned(1)
  return client
}

function recordingLog(logged: string[]): Log {
  const keep = (message: string): void => void logged.push(message)
  return { debug() {}, info() {}, warn: keep, error: keep }
}

export function reportBuiltIns(rows: readonly BuiltInRow[]): string {
  const body = rows.map(({ name, empty, added, addedMicrosecondsMax }) => [
    name,
    show(added),
    `${addedMicrosecondsMax}`,
    show(empty),
  ])
  return `${table(['', 'added µs', 'bar', 'empty chain µs'], body).join('\n')}\n`
}

export function judgeBuiltIns(rows: readonly BuiltInRow[]): Verdict[] {
  return rows.map(({ name, added, addedMicrosecondsMax }) => ({
    says: `${name}: added CPU per exchange`,
    bar: `≤ ${addedMicrosecondsMax} µs`,
    found: `${added.median.toFixed(2)} µs`,
    outcome: added.median <= addedMicrosecondsMax ? 'met' : 'missed',
  }))
}

function show({ median, min, max }: Spread): string {
  return `${median.toFixed(2)} (${min.toFixed(2)}–${max.toFixed(2)})`
}
