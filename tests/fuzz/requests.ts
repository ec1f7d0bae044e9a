import { isDeepStrictEqual } from 'node:util'
import type { RequestHead } from '../../packages/gateway/src/data-plane/http1/request-head.ts'
import {
  linesOf as linesOfFields,
  type Reading,
  type ReadMessage,
  readRequests,
} from '../../packages/gateway/src/data-plane/http1/test-support.ts'
import type { Campaign, Verdict } from './campaign.ts'
import { exemptMethod, readsOnAlike, stricterReason } from './differences.ts'
import { endToEnd, type Lines, linesOf, requestTarget, trailersKept } from './model.ts'
import type { Sent } from './mutations.ts'
import { type NodeRequest, type NodeRequests, NodeServer } from './node-server.ts'
import { sentRequests } from './request-grammar.ts'

/** What both sides say of one request, in the same words. */
interface Comparable {
  readonly method: string
  readonly target: string
  readonly minorVersion: number
  readonly lines: Lines
  readonly body: string
  readonly trailers: Lines
  readonly keepAlive: boolean
}

function oursComparable({ head, body, trailers }: ReadMessage<RequestHead>): Comparable {
  return {
    method: head.method,
    target: head.target,
    minorVersion: head.minorVersion,
    lines: linesOfFields(head.fields),
    body,
    trailers: trailers ?? [],
    keepAlive: head.keepAlive,
  }
}

function nodesComparable(request: NodeRequest): Comparable {
  const { method, url, minorVersion, body } = request
  const raw = linesOf(request.rawHeaders)
  const { target, lines } = requestTarget(method, url, endToEnd(raw, ['expect']))
  const trailers = trailersKept(linesOf(request.rawTrailers), raw)
  return { method, target, minorVersion, lines, body, trailers, keepAlive: request.keepAlive }
}

function differingKeys(mine: Comparable, theirs: Comparable): (keyof Comparable)[] {
  return (Object.keys(mine) as (keyof Comparable)[]).filter(
    (key) => !isDeepStrictEqual(mine[key], theirs[key]),
  )
}

const show = (value: unknown) => JSON.stringify(value, null, 2)

/** What ours did that Node's did not, as a sentence; null where ours is Node's equal or stricter. */
function looser(ours: Reading<RequestHead>, nodes: NodeRequests): string | null {
  for (const [i, message] of ours.messages.entries()) {
    const request = nodes.requests[i]
    const mine = oursComparable(message)
    if (request === undefined || !request.complete || !request.served) {
      if (exemptMethod(mine.method, nodes.error)) return null
      return `Ours accepts request ${i}, Node's does not (${nodes.error}): ${show(mine)}`
    }
    const theirs = nodesComparable(request)
    const differing = differingKeys(mine, theirs)
    const further = readsOnAlike(mine.minorVersion, linesOf(request.rawHeaders), linesOf(request.rawTrailers))
    if (differing.some((key) => key !== 'keepAlive' || further)) {
      return `Request ${i} differs in ${differing}: ours is ${show(mine)}\nand Node's ${show(theirs)}`
    }
    if (!further) return null
  }
  return null
}

function unlisted(ours: Reading<RequestHead>, nodes: NodeRequests): string | null {
  const next = nodes.requests[ours.messages.length]
  if (next === undefined || !next.complete || !next.served) return null
  if (ours.refused !== null) {
    if (stricterReason('request', ours.refused.message) !== null) return null
    return `Ours refuses what Node's accepts, and no table says why: ${ours.refused.message}`
  }
  const last = ours.messages.at(-1)?.head
  if (last !== undefined && (last.upgrade !== null || !last.keepAlive)) return null
  return `Ours waits for more where Node's has a whole request: ${show(nodesComparable(next))}`
}

function judgeOne({ bytes, pieces }: Sent, nodes: NodeRequests): Verdict {
  const ours = readRequests([bytes])
  const cut = readRequests(pieces)
  const difference = looser(ours, nodes) ?? unlisted(ours, nodes) ?? cutDifference(ours, cut)
  const sent = `\nin ${JSON.stringify(bytes.toString('latin1'))}`
  return {
    accepted: difference === null && ours.refused === null && !ours.incomplete && nodes.error === null,
    difference: difference === null ? null : difference + sent,
  }
}

function cutDifference(whole: Reading<RequestHead>, cut: Reading<RequestHead>): string | null {
  const summary = ({ messages, refused, incomplete }: Reading<RequestHead>) => ({
    messages: messages.map((message) => [oursComparable(message), message.end]),
    refused: refused?.code ?? null,
    incomplete,
  })
  if (isDeepStrictEqual(summary(whole), summary(cut))) return null
  return `Ours reads it whole as ${show(summary(whole))}\nand in pieces as ${show(summary(cut))}`
}

/** Requests: ours against Node's strict parser. */
export function requestCampaign(headBytesMax: number): Campaign<Sent> {
  const server = new NodeServer(headBytesMax)
  return {
    values: sentRequests,
    async judge(values) {
      const read = await server.read(values.map(({ bytes }) => bytes))
      return values.map((value, i) => judgeOne(value, read[i] ?? { requests: [], error: null }))
    },
  }
}
