import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, release, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { type Cell, measureCell, type Sample, type Timing, warmUpFirst } from './measure.ts'
import type { Peer } from './peers/peer.ts'
import { answerFaults, ask, type RunningProxy, startProxy } from './proxy.ts'
import type { Machine, Results, Row } from './results.ts'
import type { Scenario, Variant } from './scenarios.ts'
import { rotate } from './statistics.ts'
import { measureTurns } from './turns.ts'
import { startUpstream, type Upstream } from './upstream.ts'

export interface Comparison {
  readonly peers: readonly Peer[]
  readonly scenarios: readonly Scenario[]
  readonly timing: Timing
  readonly proxyCore: number
  readonly loadCore: number
  readonly signal: AbortSignal
  /** One line of progress. */
  say(line: string): void
}

/**
 * Then a gateway that serves both routes is started anew: V8 lays out and optimises the same program in another way every
 * time, and one process alone would be off by as much as half of what plugins cost.
 */
const ROUNDS_A_GATEWAY = 3

/** A peer in one variant, and what was found about it in one scenario. */
interface Entrant {
  readonly peer: Peer
  readonly variant: Variant
  readonly title: string
  proxy: RunningProxy | null
  problem: string | null
  readonly samples: Sample[]
}

/**
 * Measures every peer in every scenario. Peers that are missing or fail are recorded, and the run goes on. In a
 * scenario all peers are up at once and take turns, another one first in every round.
 */
export async function compare(comparison: Comparison): Promise<Results> {
  const { timing, signal, say } = comparison
  await using cleanUp = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'cardea-bench-'))
  cleanUp.defer(() => rm(directory, { recursive: true, force: true }))
  const upstream = cleanUp.use(await startUpstream(join(directory, 'upstream'), comparison.loadCore))
  const { installed, versions, missing } = await findPeers(comparison.peers)
  for (const sentence of missing) say(sentence)
  const rows: Row[] = []
  const startedAt = new Date().toISOString()
  for (const scenario of comparison.scenarios) {
    signal.throwIfAborted()
    say(`${scenario.name}: ${scenario.title}`)
    const place = join(directory, scenario.name)
    rows.push(...(await compareIn(scenario, installed, upstream, place, comparison)))
  }
  const machine = describeMachine()
  return { startedAt, machine, upstream: upstream.kind, timing, versions, missing, rows }
}

async function findPeers(peers: readonly Peer[]) {
  const installed: Peer[] = []
  const missing: string[] = []
  const versions: Record<string, string> = {}
  for (const peer of peers) {
    const version = await peer.find()
    if (version === null || version === '') {
      missing.push(`${peer.title} is not installed and is left out; get it with: ${peer.install}`)
    } else {
      installed.push(peer)
      versions[peer.name] = version
    }
  }
  return { installed, versions, missing }
}

async function compareIn(
  scenario: Scenario,
  peers: readonly Peer[],
  upstream: Upstream,
  directory: string,
  comparison: Comparison,
): Promise<Row[]> {
  const entrants = enter(scenario, peers)
  const { repeats } = comparison.timing
  const roundsAStart = scenario.oneGateway ? ROUNDS_A_GATEWAY : repeats
  for (let first = 0; first < repeats; first += roundsAStart) {
    const place = join(directory, `${first}`)
    const rounds = { first, end: Math.min(first + roundsAStart, repeats) }
    await measureRounds(rounds, entrants, scenario, upstream, place, comparison)
  }
  return entrants.map(({ peer, variant, title, samples, problem }) => {
    return { scenario: scenario.name, peer: peer.name, variant, title, samples, problem }
  })
}

/** Starts all, measures so many rounds, and ends them. */
async function measureRounds(
  rounds: { readonly first: number; readonly end: number },
  entrants: readonly Entrant[],
  scenario: Scenario,
  upstream: Upstream,
  directory: string,
  comparison: Comparison,
): Promise<void> {
  await using cleanUp = new AsyncDisposableStack()
  for (const entrant of entrants) entrant.proxy = null
  for (const entrant of entrants) {
    if (entrant.problem !== null) continue
    const { peer, variant } = entrant
    const { oneGateway, variants } = scenario
    const shared = oneGateway ? entrants.find(({ proxy }) => proxy !== null)?.proxy : undefined
    const place = join(directory, `${peer.name}-${variant}`)
    const { proxyCore: core } = comparison
    try {
      const at = { directory: place, core, upstreamPort: upstream.port }
      const started = oneGateway ? (variants.at(-1) ?? variant) : variant
      entrant.proxy = shared ?? cleanUp.use(await startProxy(peer, started, scenario, at))
      const faults = answerFaults(await ask(entrant.proxy.port, scenario, variant), scenario, variant)
      if (faults.length > 0) throw new Error(`Its answer is wrong: ${faults.join('; ')}.`)
    } catch (error) {
      fail(entrant, error, comparison)
    }
  }
  const cells = () => cellsOf(entrants, scenario, upstream, comparison)
  for (const [entrant, cell] of cells()) await tryWith([entrant], comparison, () => warmUpFirst(cell))
  for (let round = rounds.first; round < rounds.end; round++) {
    const turn = rotate(cells(), round)
    const record = (sample: Sample | undefined, { samples, title }: Entrant) => {
      if (sample === undefined) return
      samples.push(sample)
      comparison.say(`  ${round + 1}/${comparison.timing.repeats} ${title}: ${describe(sample)}`)
    }
    if (scenario.oneGateway) {
      const all = turn.map(([entrant]) => entrant)
      await tryWith(all, comparison, async () => {
        const samples = await measureTurns(
          turn.map(([, cell]) => cell),
          round,
        )
        for (const [at, entrant] of all.entries()) record(samples[at], entrant)
      })
      continue
    }
    for (const [entrant, cell] of turn) {
      await tryWith([entrant], comparison, async () => record(await measureCell(cell, round), entrant))
    }
  }
}

/** Of those that can still be measured. */
function cellsOf(
  entrants: readonly Entrant[],
  scenario: Scenario,
  upstream: Upstream,
  { timing, proxyCore, loadCore, signal }: Comparison,
): [Entrant, Cell][] {
  return entrants.flatMap((entrant): [Entrant, Cell][] => {
    const { proxy, variant, problem } = entrant
    if (proxy === null || problem !== null) return []
    return [[entrant, { proxy, upstream, scenario, variant, timing, proxyCore, loadCore, signal }]]
  })
}

/** The variants with plugins are Cardea's alone, so a scenario that has one is about Cardea alone. */
export function enter(scenario: Scenario, peers: readonly Peer[]): Entrant[] {
  const able = peers.filter(
    ({ variants, scenarios }) =>
      scenario.variants.every((variant) => variants.includes(variant)) &&
      (scenarios === undefined || scenarios.includes(scenario.name)),
  )
  return able.flatMap((peer) =>
    scenario.variants.map((variant) => {
      return {
        peer,
        variant,
        title: titleOf(peer, variant, scenario),
        proxy: null,
        problem: null,
        samples: [],
      }
    }),
  )
}

function titleOf({ title }: Peer, variant: Variant, { builtIn }: Scenario): string {
  if (variant === 'plugins') return `${title}, five plugins`
  return variant === 'built-in' && builtIn !== null ? `${title}, ${builtIn.name}` : title
}

/** What cannot be measured once is left out from then on. */
async function tryWith(
  entrants: readonly Entrant[],
  comparison: Comparison,
  act: () => Promise<void>,
): Promise<void> {
  try {
    await act()
  } catch (error) {
    for (const entrant of entrants) fail(entrant, error, comparison)
  }
}

function describe(sample: Sample): string {
  const cpu = `${sample.cpuMicrosecondsPerRequest.toFixed(1)} µs CPU per request`
  const faults = sample.faults.map((fault) => `INVALID: ${fault}`)
  return [cpu, `${Math.round(sample.requestsPerSecond)} requests/s`, ...faults].join(', ')
}

function fail(entrant: Entrant, error: unknown, { signal, say }: Comparison): void {
  signal.throwIfAborted()
  entrant.problem = error instanceof Error ? error.message : String(error)
  say(`  ${entrant.title} cannot be measured: ${entrant.problem}`)
}

function describeMachine(): Machine {
  const [first] = cpus()
  return {
    cpu: first?.model ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    kernel: release(),
  }
}
