import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { askGateway } from '../../packages/gateway/src/cli/control-client.ts'
import { decidedIn } from '../support/decisions.ts'
import type { TestScope } from '../support/gateway.ts'
import { Stage } from './stage.ts'

export interface CampaignOptions {
  /** The same seed does the same, as far as processes let themselves be timed. */
  readonly seed: string
  readonly rounds: number
  /** After each round that was waited for. */
  onProgress?(round: number, result: CampaignResult): void
}

export interface CampaignResult {
  /** Killed, by process: `supervisor`, `worker-1`, `worker-2`, `trial`. */
  readonly killed: Readonly<Record<string, number>>
  /** The number of the newest generation at the end. */
  readonly generations: number
  readonly answered: number
  /** Requests that were in flight in a worker when it was killed. */
  readonly lost: number
  /** What must not be. */
  readonly faults: readonly string[]
}

const VICTIMS = ['supervisor', 'worker-1', 'worker-2', 'trial']
const KILLS_PER_ROUND_MAX = 2
/** Longer than a change takes, so that some are killed after it. */
const KILL_WITHIN_MS = 400
/** Of all rounds; the others are followed at once by the next one. */
const AWAITED_SHARE = 0.5

/**
 * Changes a gateway again and again while its processes are killed at random moments. Throws when the workers do not come
 * to serve one and the same decided generation, or what is saved last does not go live.
 */
export async function campaign(t: TestScope, options: CampaignOptions): Promise<CampaignResult> {
  const random = randomFrom(options.seed)
  const stage = await Stage.start(t)
  const killed: Record<string, number> = Object.fromEntries(VICTIMS.map((name) => [name, 0]))
  const result = (): CampaignResult => ({
    killed,
    generations: decidedIn(stage.gateway.dir),
    answered: stage.traffic.answers.length,
    lost: stage.traffic.lost.length,
    faults: stage.faults,
  })
  const commands: Promise<unknown>[] = []
  for (let round = 1; round <= options.rounds; round++) {
    const change = pick(CHANGES, random)
    const kills = Array.from({ length: 1 + Math.floor(random() * KILLS_PER_ROUND_MAX) }, () => ({
      victim: pick(VICTIMS, random),
      atMs: random() * KILL_WITHIN_MS,
    }))
    const isAwaited = random() < AWAITED_SHARE
    await change(stage, round, commands)
    await Promise.all(
      kills.map(async ({ victim, atMs }) => {
        await delay(atMs)
        await stage.kill(victim)
        killed[victim] = (killed[victim] ?? 0) + 1
      }),
    )
    if (!isAwaited) continue
    // A rollback that is under way holds back what is saved meanwhile.
    await Promise.all(commands)
    await stage.settles()
    await heal(stage)
    options.onProgress?.(round, result())
  }
  await Promise.all(commands)
  await heal(stage)
  return result()
}

/** Whatever happened before, what is saved next goes live. */
async function heal(stage: Stage): Promise<void> {
  await stage.configure(`version ${stage.version + 1}`)
  await stage.save()
  await stage.agrees()
}

type Change = (stage: Stage, round: number, commands: Promise<unknown>[]) => Promise<void>

const save: Change = (stage) => stage.save()

const CHANGES: readonly Change[] = [
  save,
  save,
  (stage, round) => stage.configure(`round ${round}`),
  async (stage, round) => {
    await stage.save()
    await stage.configure(`round ${round}, both`)
  },
  async (stage) => {
    await stage.saveBroken()
    await stage.save()
  },
  (stage) => stage.saveBroken(),
  async ({ gateway }, _, commands) => {
    // Its supervisor may be dead just then, and then nothing is rolled back.
    const options = { directory: gateway.dir.path, who: 'campaign', waitMs: 1_000 }
    commands.push(askGateway({ command: 'rollback', generation: null }, options).catch(() => null))
  },
]

function pick<Item>(items: readonly Item[], random: () => number): Item {
  const item = items[Math.floor(random() * items.length)]
  if (item === undefined) throw new Error('There is nothing to pick from')
  return item
}

/** Numbers from 0 up to 1: the same ones for the same seed. */
function randomFrom(seed: string): () => number {
  let count = 0
  return () => createHash('sha256').update(`${seed} ${count++}`).digest().readUInt32LE() / 2 ** 32
}
