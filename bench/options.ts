import { parseArgs } from 'node:util'
import { BUILT_IN_CASES, type BuiltInCase } from './in-process/built-in-cases.ts'
import type { Timing } from './measure.ts'
import { PEERS } from './peers/all.ts'
import type { Peer } from './peers/peer.ts'
import { SCENARIOS, type Scenario } from './scenarios.ts'

const QUICK: Timing = { warmUpSeconds: 1, seconds: 2, repeats: 2, connections: 64 }
const FULL: Timing = { warmUpSeconds: 1, seconds: 3, repeats: 9, connections: 64 }

export const USAGE = `npm run bench -- [compare] [options]   Cardea and its peers side by side
npm run bench -- memory [options]      what Cardea holds: under load, per idle connection, with a 1 GiB body
npm run bench -- in-process            chain and codec alone, without sockets
npm run bench -- plugins [options]     what each built-in plugin adds to an exchange, without sockets
npm run bench -- harness [options]     how long \`cardea plugin test\` takes for a hundred tests
npm run bench -- changes [options]     how long a saved file takes to go live, and what requests feel of it

  --quick                 a couple of seconds per cell, 2 repeats
  --only NAME,…           scenarios: ${SCENARIOS.map(({ name }) => name).join(', ')}
                          with plugins, their cases: ${BUILT_IN_CASES.map(({ name }) => name).join(', ')}
  --peers NAME,…          peers: ${PEERS.map(({ name }) => name).join(', ')}
  --seconds N             per cell; --repeats N, also of harness; --connections N
  --proxy-core N          1 unless told; --load-core N: 0 unless told
  --changes N             1000 unless told, 100 with --quick
  --out DIR               bench/results unless told
  --check                 prints each bar as met or missed; exits 1 if one is missed`

const BENCHES = ['compare', 'memory', 'in-process', 'plugins', 'harness', 'changes'] as const

export interface Options {
  readonly what: (typeof BENCHES)[number]
  readonly quick: boolean
  readonly check: boolean
  /** Only some scenarios or peers were asked for. */
  readonly partial: boolean
  readonly scenarios: readonly Scenario[]
  readonly builtIns: readonly BuiltInCase[]
  /** Null: those that the bench takes by itself. */
  readonly peers: readonly Peer[] | null
  readonly timing: Timing
  readonly changes: number
  readonly proxyCore: number
  readonly loadCore: number
  /** Null: bench/results. */
  readonly out: string | null
}

/** Reads the command line. Throws an Error whose message is for the user. */
export function parseOptions(args: readonly string[]): Options {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean', default: false } as const
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      quick: flag,
      check: flag,
      only: text,
      peers: text,
      out: text,
      seconds: text,
      repeats: text,
      connections: text,
      changes: text,
      'proxy-core': text,
      'load-core': text,
    },
  })
  const [what = 'compare', surplus] = positionals
  const bench = BENCHES.find((name) => name === what)
  if (bench === undefined || surplus !== undefined) {
    throw new Error(`There is no bench "${surplus ?? what}"; choose ${BENCHES.join(', ')}.`)
  }
  const base = values.quick ? QUICK : FULL
  return {
    what: bench,
    quick: values.quick,
    check: values.check,
    partial: values.only !== undefined || values.peers !== undefined,
    scenarios: (bench === 'plugins' ? null : pick('scenario', values.only, SCENARIOS)) ?? SCENARIOS,
    builtIns: (bench === 'plugins' ? pick('case', values.only, BUILT_IN_CASES) : null) ?? BUILT_IN_CASES,
    peers: pick('peer', values.peers, PEERS),
    timing: {
      warmUpSeconds: base.warmUpSeconds,
      seconds: count('seconds', values.seconds, base.seconds),
      repeats: count('repeats', values.repeats, base.repeats),
      connections: count('connections', values.connections, base.connections),
    },
    changes: count('changes', values.changes, values.quick ? 100 : 1_000),
    proxyCore: count('proxy-core', values['proxy-core'], 1, 0),
    loadCore: count('load-core', values['load-core'], 0, 0),
    out: values.out ?? null,
  }
}

function pick<Item extends { name: string }>(
  kind: string,
  names: string | undefined,
  items: readonly Item[],
): readonly Item[] | null {
  if (names === undefined) return null
  return names.split(',').map((name) => {
    const found = items.find((item) => item.name === name)
    if (found === undefined) {
      throw new Error(
        `There is no ${kind} "${name}"; choose from ${items.map((item) => item.name).join(', ')}.`,
      )
    }
    return found
  })
}

function count(option: string, given: string | undefined, otherwise: number, min = 1): number {
  if (given === undefined) return otherwise
  const value = Number(given)
  if (!Number.isInteger(value) || value < min) {
    throw new Error(`--${option} is "${given}"; it must be a whole number, at least ${min}.`)
  }
  return value
}
