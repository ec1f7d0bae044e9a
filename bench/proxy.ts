import { mkdir } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fieldsOf } from './in-process/built-in-cases.ts'
import type { Peer } from './peers/peer.ts'
import { freePort, type RunningProcess, startPinned } from './processes.ts'
import { pathOf, type Scenario, type Variant } from './scenarios.ts'

const READY_WITHIN_MS = 30_000
const READY_POLL_MS = 50
const ANSWER_WITHIN_MS = 5_000

/** A peer that serves; disposing ends it. */
export interface RunningProxy extends AsyncDisposable {
  readonly peer: Peer
  readonly port: number
  readonly running: RunningProcess
  /** Written where accesses are logged. */
  readonly accessLog: string
}

export interface ProxyPlace {
  readonly directory: string
  readonly core: number
  readonly upstreamPort: number
}

/** Starts a peer and waits until it answers as the scenario expects. Rejects when it ends or stays silent. */
export async function startProxy(
  peer: Peer,
  variant: Variant,
  scenario: Scenario,
  place: ProxyPlace,
): Promise<RunningProxy> {
  await mkdir(place.directory, { recursive: true })
  const port = await freePort()
  const { directory, core, upstreamPort } = place
  const launch = await peer.prepare({ directory, port, upstreamPort, variant, builtIn: scenario.builtIn })
  const running = await startPinned(launch, { core, directory })
  try {
    await Promise.race([waitUntilReady(port, scenario, variant), running.died])
  } catch (error) {
    await running[Symbol.asyncDispose]()
    throw error
  }
  const accessLog = join(directory, peer.accessLog ?? 'access.log')
  return { peer, port, running, accessLog, [Symbol.asyncDispose]: () => running[Symbol.asyncDispose]() }
}

async function waitUntilReady(port: number, scenario: Scenario, variant: Variant): Promise<void> {
  const giveUpAt = performance.now() + READY_WITHIN_MS
  for (;;) {
    try {
      const faults = answerFaults(await ask(port, scenario, variant), scenario, variant)
      if (faults.length === 0) return
      if (performance.now() > giveUpAt) throw new Error(faults.join('; '))
    } catch (error) {
      if (performance.now() > giveUpAt) throw new Error('It did not become ready in time.', { cause: error })
    }
    await delay(READY_POLL_MS)
  }
}

export interface Answer {
  readonly status: number
  readonly bytes: number
  /** The Connection field of the answer, lower case, '' when there is none. */
  readonly connection: string
  /** How many of the plugins that edit answers have done so. */
  readonly pluginMarks: number
}

/** The fields that the plugins of the bench set on answers. */
const PLUGIN_MARKS = ['x-cache-hint', 'x-frame-options']

/** Asks once, as wrk will in the scenario. */
export async function ask(port: number, scenario: Scenario, variant: Variant): Promise<Answer> {
  const agent = new Agent({ keepAlive: !scenario.closes })
  const { method, builtIn, requestBytes } = scenario
  const path = pathOf(scenario, variant)
  const headers = { ...(builtIn === null ? {} : await fieldsOf(builtIn)), 'content-length': requestBytes }
  try {
    return await new Promise<Answer>((resolve, reject) => {
      const signal = AbortSignal.timeout(ANSWER_WITHIN_MS)
      const options = { host: '127.0.0.1', port, method, path, agent, signal, headers }
      const asked = request(options, (response) => {
        let bytes = 0
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length
        })
        response.once('error', reject)
        response.once('end', () => {
          const connection = response.headers.connection?.toLowerCase() ?? ''
          const pluginMarks = PLUGIN_MARKS.filter((name) => name in response.headers).length
          resolve({ status: response.statusCode ?? 0, bytes, connection, pluginMarks })
        })
      })
      asked.once('error', reject)
      asked.end(Buffer.alloc(scenario.requestBytes, 'x'))
    })
  } finally {
    agent.destroy()
  }
}

/** What is wrong with an answer, as phrases for the report; empty when it is what the scenario expects. */
export function answerFaults(answer: Answer, scenario: Scenario, variant: Variant): string[] {
  const faults: string[] = []
  if (answer.status !== 200) faults.push(`status ${answer.status} instead of 200`)
  if (answer.bytes !== scenario.answerBytes) {
    faults.push(`${answer.bytes} bytes instead of ${scenario.answerBytes}`)
  }
  if (scenario.closes !== (answer.connection === 'close')) {
    faults.push(scenario.closes ? 'the answer does not close' : 'the answer closes the connection')
  }
  const marks = variant === 'plugins' ? PLUGIN_MARKS.length : 0
  if (answer.pluginMarks !== marks) {
    faults.push(marks > 0 ? 'the plugins did not run' : 'plugins ran where none should')
  }
  return faults
}
