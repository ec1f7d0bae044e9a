import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { get, post, problemOf } from '../support/answers.ts'
import { logged, logLines } from '../support/log-lines.ts'
import { TestConnection } from '../support/test-connection.ts'
import { waitFor } from '../support/wait-for.ts'
import { placeOf } from './blocker.ts'
import { type Case, meetNeighbours, nameOf, STALL_MS, type Stage } from './stage.ts'

/** Has plugins block a worker, and looks who notices. */

export const WORKER = 'cardea: worker'

/** What a request was answered; null when its connection was cut. */
export type Answer = { readonly status: number; readonly said: string } | null

export interface Outcome {
  /** Of the request that blocked. */
  readonly answer: Answer
  /** Of a later one for the same route. */
  readonly later: Answer
}

export const STALLED: Answer = { status: 503, said: 'PLUGIN_STALLED' }
export const QUARANTINED: Answer = { status: 503, said: 'PLUGIN_QUARANTINED' }
export const SERVED: Answer = { status: 200, said: 'got 12 bytes' }
export const BODY = 'some content'

/** Has one case block a worker, sees to its neighbours, and waits until it is replaced. */
export async function block(t: TestContext, stage: Stage, one: Case): Promise<Outcome> {
  const { gateway } = stage
  const neighbours = await meetNeighbours(t, stage)
  const fails = one.hook === 'onError' ? 'X-Fail: yes\r\n' : ''
  const blockedAt = Date.now()
  await send(neighbours.victim, stage, one, fails)
  const answer = await answerOn(neighbours.victim)
  await neighbours.ask()
  await neighbours.areServed()

  await isQuarantined(stage, nameOf(one))
  const connection = await TestConnection.open(t, gateway.port)
  await connection.write(get(`/block/${nameOf(one)}`, 'Connection: close\r\n'))
  const later = await answerOn(connection)

  const line = await stallOf(stage, nameOf(one))
  assert.match(
    String(line.message),
    new RegExp(`^Plugin "${nameOf(one)}" blocked the event loop for [\\d,]+ ms`),
  )
  assert.match(String(line.stack), placeOf(one.form))
  const told = await logged(gateway, new RegExp(`^Plugin fault: "${nameOf(one)}" blocked`))
  const [endedMs, freeMs] = [line, told].map(({ time }) => Date.parse(String(time)) - blockedAt)
  t.diagnostic(`ended after ${endedMs} ms, all workers told after ${freeMs} ms; the limit is ${STALL_MS} ms`)

  neighbours.close()
  await waitFor(
    () => gateway.pids(WORKER).length === 2 && !gateway.pids(WORKER).includes(neighbours.pid),
    'the worker to be replaced',
  )
  return { answer, later }
}

/** In one piece, or in two chunks: the second follows when the first is through, or at once. */
async function send(victim: TestConnection, { app }: Stage, one: Case, fails: string): Promise<void> {
  const path = `/block/${nameOf(one)}`
  if (one.hook !== 'laterChunk' && one.hook !== 'queuedChunk') {
    await victim.write(post(BODY, path, fails))
    return
  }
  const head = `POST ${path} HTTP/1.1\r\nHost: cardea\r\nTransfer-Encoding: chunked\r\n\r\n`
  const first = `${head}5\r\nfirst\r\n`
  const second = '6\r\nsecond\r\n0\r\n\r\n'
  if (one.hook === 'queuedChunk') await victim.write(first + second)
  else {
    await victim.write(first)
    await waitFor(() => app.bytesOf(path) === 5, 'the first chunk to arrive')
    await victim.write(second)
  }
}

export const stallOf = ({ gateway }: Stage, plugin: string) =>
  waitFor(
    () =>
      logLines(gateway.stderr).find(
        (line) => line.code === 'PLUGIN_STALLED' && line.plugin === plugin && line.requestId === undefined,
      ),
    `the stall of ${plugin} in the log`,
  )

/** In all workers: that is a generation of its own. */
export const isQuarantined = ({ gateway }: Stage, instance: string) =>
  waitFor(
    () =>
      logLines(gateway.stderr).some((line) =>
        String(line.message).includes(` live: ${instance} quarantined`),
      ),
    `${instance} to be quarantined`,
  )

export async function answerOn(connection: TestConnection): Promise<Answer> {
  try {
    const response = await connection.response()
    const isProblem = response.field('content-type') === 'application/problem+json'
    return { status: response.status, said: isProblem ? problemOf(response).code : response.text }
  } catch {
    return null
  }
}
