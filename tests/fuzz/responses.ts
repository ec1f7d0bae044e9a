import { isDeepStrictEqual } from 'node:util'
import type { ResponseHead } from '../../packages/gateway/src/data-plane/http1/response-head.ts'
import {
  linesOf as linesOfFields,
  type Reading,
  type ReadMessage,
  readResponses,
} from '../../packages/gateway/src/data-plane/http1/test-support.ts'
import type { Campaign, Verdict } from './campaign.ts'
import { readsOnAlike, stricterReason } from './differences.ts'
import { connectionOptions, endToEnd, type Lines, linesOf, trailersKept } from './model.ts'
import { type NodeResponse, type NodeResponses, readWithNodeClient } from './node-client.ts'
import { type SentResponses, sentResponses } from './response-grammar.ts'

/** What both sides say of one response, in the same words. Node does not say whether it would keep the connection. */
interface Comparable {
  readonly status: number
  readonly minorVersion: number
  readonly lines: Lines
  readonly body: string
  readonly trailers: Lines
  readonly upgraded: boolean
}

function oursComparable({ head, body, trailers }: ReadMessage<ResponseHead>): Comparable {
  return {
    status: head.status,
    minorVersion: head.minorVersion,
    lines: linesOfFields(head.fields),
    body,
    trailers: trailers ?? [],
    upgraded: head.status === 101 && head.upgrade !== null,
  }
}

function nodesComparable(response: NodeResponse): Comparable {
  const { status, minorVersion, body } = response
  const raw = linesOf(response.rawHeaders)
  const upgraded = response.upgraded && connectionOptions(raw).includes('upgrade')
  const trailers = trailersKept(linesOf(response.rawTrailers), raw)
  return { status, minorVersion, lines: endToEnd(raw), body, trailers, upgraded }
}

const show = (value: unknown) => JSON.stringify(value, null, 2)

/** What ours did that Node's did not, as a sentence; null where ours is Node's equal or stricter. */
function looser(ours: Reading<ResponseHead>, nodes: NodeResponses): string | null {
  for (const [i, message] of ours.messages.entries()) {
    const response = nodes.responses[i]
    const mine = oursComparable(message)
    if (response === undefined) {
      return `Ours accepts response ${i}, Node's does not (${nodes.error}): ${show(mine)}`
    }
    const theirs = nodesComparable(response)
    if (!isDeepStrictEqual(mine, theirs))
      return `Response ${i} is ours ${show(mine)}\nand Node's ${show(theirs)}`
    if (!readsOnAlike(mine.minorVersion, linesOf(response.rawHeaders), [])) return null
  }
  return null
}

const isFinal = ({ status }: ResponseHead) => status >= 200 || status === 101

function unlisted(ours: Reading<ResponseHead>, nodes: NodeResponses): string | null {
  const last = ours.messages.at(-1)
  if (!nodes.final || (last !== undefined && isFinal(last.head))) return null
  if (ours.refused === null) return `Ours waits for more where Node's has all: ${show(nodes.responses)}`
  if (stricterReason('response', ours.refused.message) !== null) return null
  return `Ours refuses what Node's accepts, and no table says why: ${ours.refused.message}`
}

function cutDifference(whole: Reading<ResponseHead>, cut: Reading<ResponseHead>): string | null {
  const summary = ({ messages, refused, incomplete }: Reading<ResponseHead>) => ({
    messages: messages.map((message) => [oursComparable(message), message.head.keepAlive, message.end]),
    refused: refused?.code ?? null,
    incomplete,
  })
  if (isDeepStrictEqual(summary(whole), summary(cut))) return null
  return `Ours reads it whole as ${show(summary(whole))}\nand in pieces as ${show(summary(cut))}`
}

export function judgeResponses({ method, bytes, pieces }: SentResponses, nodes: NodeResponses): Verdict {
  const ours = readResponses([bytes], { method, closed: true })
  const cut = readResponses(pieces, { method, closed: true })
  const difference = looser(ours, nodes) ?? unlisted(ours, nodes) ?? cutDifference(ours, cut)
  const last = ours.messages.at(-1)
  return {
    accepted: difference === null && last !== undefined && isFinal(last.head),
    difference:
      difference === null
        ? null
        : `${difference}\nto ${method} in ${JSON.stringify(bytes.toString('latin1'))}`,
  }
}

/** Responses: ours against Node's strict parser. */
export function responseCampaign(headBytesMax: number): Campaign<SentResponses> {
  return {
    values: sentResponses,
    async judge(values) {
      const read = await readWithNodeClient(values, headBytesMax)
      return values.map((value, i) =>
        judgeResponses(value, read[i] ?? { responses: [], final: false, error: null }),
      )
    },
  }
}
