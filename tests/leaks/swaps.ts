import { createHash } from 'node:crypto'
import { InstancePool } from '../../packages/gateway/src/plugin-host/instance-pool.ts'
import type {
  BundlePlan,
  GenerationPlan,
  InstancePlan,
} from '../../packages/gateway/src/protocol/generation.ts'
import type { StagedInstances } from '../../packages/gateway/src/protocol/instance.ts'
import { instancePlan } from '../../packages/gateway/src/protocol/test-plans.ts'

/**
 * Swaps plugins as often as its first argument says, several times over, and prints after each time by how many bytes
 * a swap the heap has grown. To be run with the workers' flags and with `--expose-gc`.
 *
 * Each swap is one of code, of config (by `updateConfig`), of a dependency, or one that is discarded; the plugins use
 * all that a host offers.
 */

const WINDOWS = 4
/** As large as a plugin that brings a library; what is kept of it would be seen at once. */
const FILLER = `// ${'x'.repeat(8_192)}\n`

const BASE = `exports.PluginMain = (config, host) => {
  host.provide({ echo: (value) => value })
  host.on('base/told', () => {})
  return { name: 'base', handle: () => true, stop() { host.emit('told', 'bye') } }
}`
const USER = `exports.PluginMain = async (config, host) => {
  const hits = host.state('hits', 1, () => ({ count: 0 }))
  const lost = host.state('lost ' + config.n, config.n, () => new Array(100).fill(config.n))
  const base = host.use('base')
  host.on('base/told', (data) => hits.value.count++)
  host.setInterval(() => {}, 60_000)
  host.setTimeout(() => {}, 60_000)
  host.signal.addEventListener('abort', () => {})
  await base.echo(config)
  const made = (config) => ({
    name: 'user',
    handle: () => { host.emit('used', { n: hits.value.count }); return lost.value.length > 0 },
    updateConfig: (next) => made(next),
    async stop() { await base.echo('stop') },
  })
  return made(config)
}`
/** Two of these change in turns, so that one always lives on from the generation before: what it keeps is a chain. */
const TURN = `exports.PluginMain = () => ({ name: 'turn', handle: () => true })`

const silent = { debug() {}, info() {}, warn() {}, error() {} }
const pool = new InstancePool({ log: silent })
/** One or none. */
const live: StagedInstances[] = []
let swaps = 0

function bundleOf(source: string, stamp: number): BundlePlan {
  const code = `${FILLER}// ${stamp}\n${source}`
  const codeHash = createHash('sha256').update(code).digest('hex')
  return { codeHash, code, sourceMap: '{"version":3,"sources":[],"mappings":""}', entryFile: '/p/plugin.ts' }
}

function swappedPlan(id: number, name: string, codeHash: string, n: number): InstancePlan {
  const key = `${name} ${codeHash} ${n}`
  return instancePlan({ id, name, plugin: name, codeHash, config: { n }, category: 'custom', key })
}

/** What stands still for a while has the number of the swap that last changed it. */
function planOf(swap: number): GenerationPlan {
  const [baseCode, userCode, userConfig] = [swap - (swap % 8), swap - (swap % 2), swap]
  // A swap that is discarded does not count: after it both would be made anew, and the chain be broken.
  const turn = swap - Math.floor(swap / 5)
  const [evenCode, oddCode] = [turn - (turn % 2), turn - ((turn + 1) % 2)]
  const bundles = [
    bundleOf(BASE, baseCode),
    bundleOf(USER, userCode),
    bundleOf(TURN, evenCode),
    bundleOf(TURN, -oddCode),
  ] as const
  const base = swappedPlan(0, 'base', bundles[0].codeHash, baseCode)
  const user = swappedPlan(1, 'user', bundles[1].codeHash, userConfig)
  const instances = [
    base,
    { ...user, key: `${user.key} ${base.key}`, dependencies: [0] },
    swappedPlan(2, 'even', bundles[2].codeHash, 0),
    swappedPlan(3, 'odd', bundles[3].codeHash, 0),
  ]
  return {
    number: swap,
    bundles,
    instances,
    routes: [],
    upstreams: [],
    settings: {} as GenerationPlan['settings'],
  }
}

async function swap(): Promise<void> {
  swaps++
  const staged = await pool.stage(planOf(swaps))
  if (swaps % 5 === 0) return staged.release()
  const errors = staged.commit()
  if (errors.length > 0) throw errors[0]
  live.push(staged)
  staged.instances.get(1)?.middleware.handle({} as never)
  if (live.length > 1) await live.shift()?.release()
}

/** The least of several: what is still on its way out is not a leak. */
async function heapBytes(): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  for (let i = 0; i < 5; i++) {
    await new Promise((turn) => setImmediate(turn))
    globalThis.gc?.()
    least = Math.min(least, process.memoryUsage().heapUsed)
  }
  return least
}

const perWindow = Number(process.argv[2])
const grown: number[] = []
for (let i = 0; i < perWindow; i++) await swap()
for (let window = 0; window < WINDOWS; window++) {
  const before = await heapBytes()
  for (let i = 0; i < perWindow; i++) await swap()
  grown.push(Math.round((await heapBytes()) - before) / perWindow)
}
await live[0]?.release()
process.stdout.write(JSON.stringify({ grown, size: pool.size }))
