import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { LIMIT_DEFAULTS } from '../../packages/gateway/src/config/limits.ts'
import { readRequests } from '../../packages/gateway/src/data-plane/http1/test-support.ts'
import { ACCEPTED_MIN, campaignSettings, reportOf, runCampaign } from './campaign.ts'
import { STRICTER } from './differences.ts'
import { NodeServer } from './node-server.ts'
import { requestCampaign } from './requests.ts'

const { headBytesMax } = LIMIT_DEFAULTS

describe('requests against node:http', () => {
  it('are read alike or more strictly', async (t) => {
    const settings = campaignSettings()
    const result = await runCampaign(requestCampaign(headBytesMax), settings)
    t.diagnostic(reportOf('requests', result, settings))
    assert.ok(result.accepted >= ACCEPTED_MIN * result.messages, 'too few messages are accepted to mean much')
  })

  for (const { of, refusal, example } of STRICTER) {
    if (of !== 'request') continue
    it(`differ where the table says: ${refusal}`, async () => {
      const bytes = Buffer.from(example, 'latin1')
      const [read] = await new NodeServer(headBytesMax).read([bytes])
      assert.deepEqual(
        read?.requests.map(({ complete, served }) => [complete, served]),
        [[true, true]],
      )
      const { messages, refused } = readRequests([bytes])
      assert.equal(messages.length, 0)
      assert.ok(refused?.message.startsWith(refusal))
    })
  }
})
