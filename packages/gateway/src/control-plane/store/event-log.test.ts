import assert from 'node:assert/strict'
import { appendFile, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { withTempDir } from '../../../../../tests/support/temp-dir.ts'
import { waitFor } from '../../../../../tests/support/wait-for.ts'
import { EVENT_LOG_LIMITS } from '../../config/limits.ts'
import type { ChangeReport } from '../../protocol/control.ts'
import { EventLog, type KeptEvent } from './event-log.ts'

const decision = (text: string): KeptEvent => ({ kind: 'decision', at: 1, plugin: 'auth', text })

function change(report: Partial<ChangeReport>): KeptEvent {
  return {
    kind: 'change',
    report: {
      outcome: 'failed',
      generation: 2,
      at: 1,
      cause: { kind: 'files', files: ['/srv/plugins/auth/plugin.ts'] },
      who: 'ada',
      changes: [],
      started: [],
      carried: [],
      stages: [],
      skewMs: null,
      problems: [],
      held: [],
      heldId: null,
      notices: [],
      ...report,
    },
  }
}

const texts = (events: readonly KeptEvent[]) =>
  events.map((event) => (event.kind === 'decision' ? event.text : event.kind))

async function withLog() {
  const dir = await withTempDir()
  const file = join(dir.path, 'events.jsonl')
  const warnings: string[] = []
  const open = () => EventLog.open(dir.path, (message) => warnings.push(message))
  return {
    directory: dir.path,
    file,
    warnings,
    open,
    /** Appends in a process of its own, so to speak. */
    async append(...events: readonly KeptEvent[]): Promise<void> {
      await using log = await open()
      for (const event of events) log.append(event)
    },
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  }
}

describe('EventLog.recentEvents()', () => {
  test('gives the newest first, those of before a restart too', async () => {
    await using env = await withLog()
    await env.append(decision('one'), change({}))
    await using log = await env.open()
    log.append(decision('three'))
    assert.deepEqual(texts(log.recentEvents(10)), ['three', 'change', 'one'])
    assert.deepEqual(texts(log.recentEvents(1)), ['three'])
    assert.deepEqual(texts(log.recentEvents(0)), [])
    assert.equal((await stat(env.file)).mode & 0o777, 0o600)
  })

  test('passes over a torn last line, wherever it is torn, and goes on after it', async () => {
    await using env = await withLog()
    await env.append(decision('one'), decision('two'))
    const whole = await readFile(env.file)
    const start = whole.indexOf('\n') + 1
    for (let length = start; length < whole.length; length++) {
      await writeFile(env.file, whole.subarray(0, length))
      await env.append(decision('three'))
      await using log = await env.open()
      const seen = texts(log.recentEvents(10)).filter((text) => text !== 'two')
      assert.deepEqual(seen, ['three', 'one'], `torn after ${length} bytes`)
    }
  })

  test('passes over lines that are no events', async () => {
    await using env = await withLog()
    await writeFile(env.file, 'null\n1\n{"kind":"trace"}\n{"kind":7}\nhello\n\n')
    await env.append(decision('one'))
    await using log = await env.open()
    assert.deepEqual(texts(log.recentEvents(10)), ['one'])
  })

  test('reads what an older version wrote: how many instances were carried over, and not which', async () => {
    await using env = await withLog()
    const written = change({ outcome: 'committed', carried: 18 })
    await writeFile(env.file, `${JSON.stringify(written)}\n`)
    await using log = await env.open()
    assert.deepEqual(log.recentEvents(10), [written])
    assert.equal(log.lastCommitted, 2)
  })

  test('reads what is left of the old file after a rotation', async () => {
    await using env = await withLog()
    await env.append(decision('one'))
    await truncate(env.file, EVENT_LOG_LIMITS.fileBytesMax)
    await env.append(decision('two'), decision('three'))
    assert.deepEqual((await readdir(env.directory)).sort(), ['events.jsonl', 'events.old.jsonl'])
    await using log = await env.open()
    assert.deepEqual(texts(log.recentEvents(10)).slice(0, 2), ['three', 'two'])
  })
})

describe('EventLog.append()', () => {
  test('keeps two files of bounded size, however much comes', async () => {
    await using env = await withLog()
    const text = 'x'.repeat(EVENT_LOG_LIMITS.eventBytesMax / 2)
    for (let round = 0; round < 15; round++) {
      await env.append(...Array.from({ length: 28 }, () => decision(text)))
    }
    const sizes = await Promise.all(
      (await readdir(env.directory)).map(async (name) => (await stat(join(env.directory, name))).size),
    )
    assert.equal(sizes.length, 2)
    for (const size of sizes) {
      assert.ok(size <= EVENT_LOG_LIMITS.fileBytesMax + EVENT_LOG_LIMITS.waitingBytesMax)
    }
  })

  test('keeps the sentences of an event that is too long, without its details', async () => {
    await using env = await withLog()
    const problem = {
      stage: 'build',
      plugin: 'auth',
      code: 'PLUGIN_BUILD_FAILED',
      message: 'm'.repeat(2_000),
      file: '/f',
      line: 1,
      column: 1,
      frame: 'f'.repeat(2_000),
      stack: 's'.repeat(2_000),
    } as const
    const failure = {
      code: 'HOOK_THREW',
      message: 'thrown',
      plugin: 'auth',
      stack: 's'.repeat(100_000),
      frame: 'f'.repeat(100_000),
    } as const
    await env.append(
      change({ problems: Array.from({ length: 1_000 }, () => problem) }),
      {
        kind: 'fault',
        at: 1,
        worker: 1,
        fault: { kind: 'failures', key: 'k', instance: 'auth', plugin: 'auth', count: 3, failure },
      },
      decision('d'.repeat(100_000)),
    )
    for (const line of (await readFile(env.file, 'utf8')).trim().split('\n')) {
      assert.ok(line.length < EVENT_LOG_LIMITS.eventBytesMax)
    }
    await using log = await env.open()
    const [last, fault, first] = log.recentEvents(3)
    assert.ok(last?.kind === 'decision' && last.text.startsWith('ddd'))
    assert.ok(fault?.kind === 'fault' && fault.fault.kind === 'failures')
    assert.equal(fault.fault.failure.message, 'thrown')
    assert.ok(first?.kind === 'change')
    assert.equal(first.report.problems[0]?.code, 'PLUGIN_BUILD_FAILED')
  })

  test('counts the instances of a change that has too many of them to be named', async () => {
    await using env = await withLog()
    const carried = Array.from({ length: 2_000 }, (_, index) => `${index}`.padStart(60, 'x'))
    await env.append(change({ outcome: 'committed', carried }))
    await using log = await env.open()
    const [event] = log.recentEvents(1)
    assert.ok(event?.kind === 'change')
    assert.equal(event.report.carried, 2_000)
  })

  test('keeps no change that changed nothing', async () => {
    await using env = await withLog()
    await env.append(change({ outcome: 'unchanged' }), change({ outcome: 'held' }))
    await using log = await env.open()
    assert.equal(log.recentEvents(10).length, 1)
  })

  test('warns once when the disk refuses, goes on, and warns again after it recovered', async () => {
    await using env = await withLog()
    await mkdir(env.file)
    {
      await using log = await env.open()
      log.append(decision('lost'))
      log.append(decision('lost too'))
      assert.equal(log.recentEvents(2).length, 2)
    }
    assert.equal(env.warnings.length, 1)
    assert.match(env.warnings[0] ?? '', /^Events cannot be kept in .*events\.jsonl: EISDIR/)
    await rm(env.file, { recursive: true })
    await env.append(decision('kept'))
    assert.equal(await readFile(env.file, 'utf8'), `${JSON.stringify(decision('kept'))}\n`)
  })

  test('drops what comes faster than it can be written, and warns', async () => {
    await using env = await withLog()
    {
      await using log = await env.open()
      const text = 'x'.repeat(EVENT_LOG_LIMITS.eventBytesMax / 2)
      for (let count = 0; count < 100; count++) log.append(decision(text))
    }
    assert.deepEqual(env.warnings.length, 1)
    assert.ok((await stat(env.file)).size <= 2 * EVENT_LOG_LIMITS.waitingBytesMax)
  })
})

test('EventLog.open() starts empty where it cannot read', async () => {
  await using env = await withLog()
  await using log = await EventLog.open(join(env.directory, 'none'), () => undefined)
  assert.deepEqual(log.recentEvents(10), [])
  await appendFile(env.file, '')
})

test('EventLog goes on in a new file when somebody removed the one it had, or its folder', async () => {
  await using env = await withLog()
  const folder = join(env.directory, 'store')
  const file = join(folder, 'events.jsonl')
  await mkdir(folder)
  await using log = await EventLog.open(folder, (message) => env.warnings.push(message))
  const kept = async (text: string): Promise<boolean> =>
    (await readFile(file, 'utf8').catch(() => '')).includes(text)
  log.append(decision('one'))
  await waitFor(() => kept('one'), 'the first event')
  await rm(folder, { recursive: true })
  await mkdir(folder)
  log.append(decision('two'))
  await waitFor(() => kept('two'), 'the event after the folder was removed')
  assert.deepEqual(texts(log.recentEvents(9)), ['two', 'one'])
  assert.deepEqual(env.warnings, [])
})
