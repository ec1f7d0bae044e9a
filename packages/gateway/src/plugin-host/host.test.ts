import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { test } from 'node:test'
import type { Host } from '@cardea/sdk'
import { instancePlan } from '../protocol/test-plans.ts'
import { type InstanceHost, openHost, type Surroundings, SYSTEM } from './host.ts'
import { NO_NODE_SERVICES } from './services.ts'
import { type LogLine, recordingLog } from './test-support.ts'

function open(node: Surroundings['node'] = SYSTEM.node): {
  host: Host
  instance: InstanceHost
  lines: LogLine[]
  nextLine: ReturnType<typeof recordingLog>['nextLine']
} {
  const { log, lines, nextLine } = recordingLog()
  const surroundings = { ...SYSTEM, node }
  const instance = openHost(instancePlan(), log, (error) => `mapped ${error.message}`, surroundings)
  return { host: instance.host, instance, lines, nextLine }
}

test('hash() and hmac() refuse algorithms that the contract does not name', () => {
  const { host } = open()
  const md5 = 'md5' as 'sha1'
  assert.throws(
    () => host.hash(md5, ''),
    /^TypeError: "md5" is not a hash algorithm; use one of sha1, sha256/,
  )
  assert.throws(() => host.hmac(md5, 'key', ''), TypeError)
})

test('hash() digests strings and bytes in the encoding asked for', () => {
  const { host } = open()
  // FIPS 180-2, B.1
  const abc = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
  assert.equal(host.hash('sha256', 'abc'), abc)
  assert.equal(host.hash('sha256', new TextEncoder().encode('abc'), 'hex'), abc)
  assert.equal(host.hash('sha256', 'abc', 'base64url'), Buffer.from(abc, 'hex').toString('base64url'))
})

test('hmac() keys with strings and bytes', () => {
  const { host } = open()
  const expected = createHmac('sha256', 'key').update('data').digest('base64')
  assert.equal(host.hmac('sha256', 'key', 'data', 'base64'), expected)
  assert.equal(host.hmac('sha256', Buffer.from('key'), Buffer.from('data'), 'base64'), expected)
})

test('timingSafeEqual() compares strings and bytes, also of different lengths', () => {
  const { host } = open()
  const cases: [string | Uint8Array, string | Uint8Array, boolean][] = [
    ['', '', true],
    ['secret', 'secret', true],
    ['secret', 'secreT', false],
    ['secret', 'secret!', false],
    ['é', Buffer.from('é'), true],
    [Buffer.from('é'), 'é', true],
    [new Uint8Array([1, 2]), new Uint8Array([1, 3]), false],
    // UTF-8 writes both as U+FFFD.
    ['\ud800', '\ud801', false],
  ]
  for (const [a, b, equal] of cases) assert.equal(host.timingSafeEqual(a, b), equal, `${a} and ${b}`)
})

test('setTimeout() and setInterval() refuse what Node would run at once', () => {
  const { host } = open()
  for (const wrong of [-1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31]) {
    assert.throws(() => host.setTimeout(() => {}, wrong), RangeError)
    assert.throws(() => host.setInterval(() => {}, wrong), RangeError)
  }
  assert.throws(() => host.setTimeout('alert()' as unknown as () => void, 1), TypeError)
})

test('a timer that throws or rejects is logged with its mapped stack, and others go on', async () => {
  const { host, instance, nextLine } = open()
  const thrown = nextLine()
  host.setTimeout(() => {
    throw new Error('bang')
  }, 0)
  const line = await thrown
  assert.equal(line.level, 'error')
  assert.equal(line.message, 'A timer of "sample" failed: bang')
  assert.equal((line.fields.error as Error).stack, 'mapped bang')

  const rejected = nextLine()
  let runs = 0
  const interval = host.setInterval(async () => {
    runs++
    throw new Error(`run ${runs}`)
  }, 1)
  assert.match((await rejected).message, /run 1$/)
  assert.match((await nextLine()).message, /run 2$/)
  interval.cancel()
  instance.release()
})

test('timers never keep the process alive', () => {
  const before = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const { host, instance } = open()
  host.setInterval(() => {}, 1_000)
  host.setTimeout(() => {}, 1_000)
  const during = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  assert.equal(during, before)
  instance.release()
})

test('cancel() and quiesce() keep timers from running, new ones included', async () => {
  const { host, instance } = open()
  const ran: string[] = []
  host.setTimeout(() => ran.push('cancelled'), 0).cancel()
  host.setTimeout(() => ran.push('stopped'), 0)
  host.setInterval(() => ran.push('repeated'), 0)
  instance.quiesce()
  host.setTimeout(() => ran.push('late'), 0).cancel()
  // Node runs timers of one duration in the order of their making: all of the above are due by then.
  await new Promise((due) => setTimeout(due, 0))
  assert.deepEqual(ran, [])
})

test('quiesce() aborts the signal once, release() may follow', () => {
  const { host, instance } = open()
  let aborts = 0
  host.signal.addEventListener('abort', () => aborts++)
  assert.equal(host.signal.aborted, false)
  instance.quiesce()
  instance.release()
  instance.release()
  assert.equal(aborts, 1)
  assert.match(String(host.signal.reason), /The instance "sample" has stopped/)
})

test('a listener of signal that throws is logged with its mapped stack, and what comes after goes on', () => {
  const { host, instance, lines } = open()
  const stopped: string[] = []
  host.signal.addEventListener('abort', () => {
    throw new Error('bang')
  })
  host.signal.addEventListener('abort', () => stopped.push('second'))
  instance.quiesce()
  assert.deepEqual(stopped, ['second'])
  assert.equal(lines[0]?.message, 'A listener of host.signal of "sample" failed: bang')
  assert.equal((lines[0].fields.error as Error).stack, 'mapped bang')
})

test('the signal of once() aborts with that of the service, and its listeners cannot end the process', async () => {
  const service = new AbortController()
  const tasks: Promise<void>[] = []
  const { services } = NO_NODE_SERVICES.open(instancePlan(), recordingLog().log)
  const { host, lines } = open({
    open: () => ({
      services: { ...services, once: (_, task) => void tasks.push(Promise.resolve(task(service.signal))) },
      release() {},
    }),
  })
  const reasons: unknown[] = []
  host.once('task', async (signal) => {
    signal.addEventListener('abort', () => {
      reasons.push(signal.reason)
      throw new Error('bang')
    })
    await once(signal, 'abort')
  })
  service.abort('over')
  await Promise.all(tasks)
  assert.deepEqual(reasons, ['over'])
  assert.equal(lines[0]?.message, 'A listener of a task\'s signal of "sample" failed: bang')
})
