import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { type Campaign, campaignSettings, runCampaign } from './campaign.ts'

/** Differs at every number of 1,000 or more. */
const planted: Campaign<number> = {
  values: fc.nat(2_000),
  judge: async (values) =>
    values.map((value) => ({
      accepted: value < 500,
      difference: value < 1_000 ? null : `${value} is too much`,
    })),
}

describe('runCampaign()', () => {
  it('throws at a difference, with the smallest value that shows it', async () => {
    await assert.rejects(runCampaign(planted, { messages: 1_000, seed: 1 }), /^Error: 1000 is too much\n/)
  })

  it('says how to repeat what it found, and that is so', async () => {
    const failure = async (seed: number, messages: number): Promise<string> => {
      try {
        await runCampaign(planted, { seed, messages })
      } catch (error) {
        if (error instanceof Error) return error.message
      }
      return ''
    }
    const message = await failure(7, 5_000)
    const [, seed, messages] = /CARDEA_FUZZ_SEED=(\d+) CARDEA_FUZZ_MESSAGES=(\d+) /.exec(message) ?? []
    assert.equal(await failure(Number(seed), Number(messages)), message)
    assert.equal(await failure(Number(seed), Number(messages) - 1), '')
  })

  it('judges as many values as it is told, and counts the accepted ones', async () => {
    let judged = 0
    const campaign: Campaign<number> = {
      values: fc.nat(9),
      judge: async (values) => {
        judged += values.length
        return values.map((_, i) => ({ accepted: i % 2 === 0, difference: null }))
      },
    }
    const result = await runCampaign(campaign, { messages: 777, seed: 3 })
    assert.deepEqual([result, judged], [{ messages: 777, accepted: 389 }, 777])
  })
})

describe('campaignSettings()', () => {
  it('refuses what is no number', () => {
    assert.throws(() => campaignSettings({ CARDEA_FUZZ_MESSAGES: '1e5' }), /CARDEA_FUZZ_MESSAGES is "1e5"/)
    assert.throws(() => campaignSettings({ CARDEA_FUZZ_SEED: '-1' }), /CARDEA_FUZZ_SEED/)
  })

  it('takes both from the environment', () => {
    assert.deepEqual(campaignSettings({ CARDEA_FUZZ_MESSAGES: '100000', CARDEA_FUZZ_SEED: '42' }), {
      messages: 100_000,
      seed: 42,
    })
  })
})
