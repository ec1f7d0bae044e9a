import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { LIMIT_DEFAULTS } from '../../packages/gateway/src/config/limits.ts'
import { readResponses } from '../../packages/gateway/src/data-plane/http1/test-support.ts'
import { ACCEPTED_MIN, campaignSettings, reportOf, runCampaign } from './campaign.ts'
import { STRICTER } from './differences.ts'
import { readWithNodeClient } from './node-client.ts'
import { responseCampaign } from './responses.ts'

const { headBytesMax } = LIMIT_DEFAULTS

describe('responses against node:http', () => {
  it('are read alike or more strictly', async (t) => {
    const settings = campaignSettings()
    const result = await runCampaign(responseCampaign(headBytesMax), settings)
    t.diagnostic(reportOf('responses', result, settings))
    assert.ok(result.accepted >= ACCEPTED_MIN * result.messages, 'too few messages are accepted to mean much')
  })

  for (const { of, refusal, example } of STRICTER) {
    if (of !== 'response') continue
    it(`differ where the table says: ${refusal}`, async () => {
      const bytes = Buffer.from(example, 'latin1')
      const [read] = await readWithNodeClient([{ method: 'GET', bytes }], headBytesMax)
      assert.equal(read?.final, true)
      const { refused } = readResponses([bytes], { method: 'GET', closed: true })
      assert.ok(refused?.message.startsWith(refusal))
    })
  }
})
