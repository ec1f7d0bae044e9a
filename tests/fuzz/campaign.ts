import { randomInt } from 'node:crypto'
import fc from 'fast-check'

/** What came of feeding one generated value to both parsers. */
export interface Verdict {
  /** Both read all of it, and alike. */
  readonly accepted: boolean
  /** A sentence when they differ in a way that no table allows. */
  readonly difference: string | null
}

export interface Campaign<Value> {
  readonly values: fc.Arbitrary<Value>
  /** One verdict for each value, in order. */
  judge(values: readonly Value[]): Promise<Verdict[]>
}

export interface CampaignSettings {
  readonly messages: number
  readonly seed: number
}

/** Few enough for `npm test`; a full run is 100,000. */
const MESSAGES_DEFAULT = 5_000
/** Judged in one go: what is asynchronous in `node:http` is waited for once. */
const BATCH = 250

/**
 * How much to run: `CARDEA_FUZZ_MESSAGES` messages, from `CARDEA_FUZZ_SEED`, which is random unless given; a failure
 * prints both.
 */
export function campaignSettings(environment: NodeJS.ProcessEnv = process.env): CampaignSettings {
  return {
    messages: wholeNumber(environment, 'CARDEA_FUZZ_MESSAGES') ?? MESSAGES_DEFAULT,
    seed: wholeNumber(environment, 'CARDEA_FUZZ_SEED') ?? randomInt(2 ** 31),
  }
}

function wholeNumber(environment: NodeJS.ProcessEnv, name: string): number | null {
  const text = environment[name]
  if (text === undefined || text === '') return null
  if (!/^\d{1,10}$/.test(text))
    throw new Error(`${name} is ${JSON.stringify(text)}; it must be a whole number`)
  return Number(text)
}

/** Of all messages, the part that both sides must accept: a fuzzer whose messages are all refused finds nothing. */
export const ACCEPTED_MIN = 0.4

/** One line for the log of a run. */
export function reportOf(
  what: string,
  { messages, accepted }: CampaignResult,
  { seed }: CampaignSettings,
): string {
  return `${messages} ${what}, ${((100 * accepted) / messages).toFixed(1)} % accepted by both, seed ${seed}`
}

export interface CampaignResult {
  readonly messages: number
  readonly accepted: number
}

/** Runs the campaign. At the first difference it throws, with the smallest value that shows one and how to repeat it. */
export async function runCampaign<Value>(
  campaign: Campaign<Value>,
  { messages, seed }: CampaignSettings,
): Promise<CampaignResult> {
  let accepted = 0
  for (let done = 0; done < messages; done += BATCH) {
    const numRuns = Math.min(BATCH, messages - done)
    const batchSeed = seed + done
    const values = fc.sample(campaign.values, { seed: batchSeed, numRuns })
    const verdicts = await campaign.judge(values)
    const failed = verdicts.findIndex(({ difference }) => difference !== null)
    if (failed !== -1) {
      const repeat = `CARDEA_FUZZ_SEED=${batchSeed} CARDEA_FUZZ_MESSAGES=${failed + 1} shows it again`
      const smallest = await shrink(campaign, batchSeed, failed)
      throw new Error(`${smallest ?? verdicts[failed]?.difference}\n${repeat}`)
    }
    accepted += verdicts.filter((verdict) => verdict.accepted).length
  }
  return { messages, accepted }
}

async function shrink<Value>(campaign: Campaign<Value>, seed: number, index: number): Promise<string | null> {
  let smallest: string | null = null
  const differs = fc.asyncProperty(campaign.values, async (value) => {
    const [verdict] = await campaign.judge([value])
    if (verdict === undefined || verdict.difference === null) return true
    smallest = verdict.difference
    return false
  })
  await fc.check(differs, { seed, path: String(index), numRuns: 1 })
  return smallest
}
