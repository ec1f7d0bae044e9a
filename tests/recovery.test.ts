import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { suite, type TestContext, test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { campaign } from './recovery/campaign.ts'
import { Stage, WORKERS } from './recovery/stage.ts'
import { killProcesses, signalProcesses } from './support/processes.ts'
import { waitFor } from './support/wait-for.ts'

/**
 * A change that loses a process at any moment leaves all workers on one and the same decided generation, and goes live
 * all the same when it is tried again by itself.
 */

const timeout = 400_000
const BOTH = ['worker-1', 'worker-2']

/** `first` and `second`: the workers in the order in which they stage. */
type Victim = 'supervisor' | 'trial' | 'first' | 'second'

interface Moment {
  readonly name: string
  /** Brings a change there. Resolves with the first and the second worker's names. */
  begin(stage: Stage): Promise<readonly string[]>
  end(stage: Stage): Promise<void>
  readonly deaths: readonly (readonly Victim[])[]
  /** One of them fails the change: it is tried again when the files change. */
  readonly failing?: readonly Victim[]
}

const MOMENTS: readonly Moment[] = [
  {
    name: 'while it is in trial',
    async begin(stage) {
      await stage.save('start', ['trial'])
      await stage.reached('start', 1)
      return BOTH
    },
    end: (stage) => stage.release('start'),
    deaths: [['trial'], ['supervisor'], ['first'], ['first', 'second'], ['supervisor', 'trial']],
    // It may have been the plugin's doing.
    failing: ['trial'],
  },
  {
    name: 'while the first worker stages it',
    async begin(stage) {
      await stage.save('start', BOTH)
      return firstAndSecond(await stage.reached('start', 1))
    },
    end: (stage) => stage.release('start'),
    deaths: [['supervisor'], ['first'], ['second'], ['trial'], ['first', 'supervisor']],
  },
  {
    name: 'while the second worker stages it',
    async begin(stage) {
      await stage.save('start', BOTH)
      const workers = firstAndSecond(await stage.reached('start', 1))
      await stage.release('start', workers[0] ?? '')
      await stage.reached('start', 1)
      return workers
    },
    end: (stage) => stage.release('start'),
    deaths: [['supervisor'], ['first'], ['second'], ['second', 'supervisor']],
  },
  {
    name: 'when it is decided',
    async begin(stage) {
      const isDecided = stage.stopsAtDecision()
      await stage.save()
      await isDecided
      return BOTH
    },
    end: async (stage) => stage.continues(),
    deaths: [['supervisor'], ['first'], ['first', 'second'], ['supervisor', 'first']],
  },
  {
    name: 'while the workers swap to it',
    async begin(stage) {
      await stage.save('swap', BOTH)
      await stage.reached('swap', 2)
      return BOTH
    },
    end: (stage) => stage.release('swap'),
    deaths: [['supervisor'], ['first'], ['first', 'second'], ['supervisor', 'second']],
  },
]

function firstAndSecond([first = '']: readonly string[]): readonly string[] {
  return [first, ...BOTH.filter((name) => name !== first)]
}

async function killAt(stage: Stage, moment: Moment, victims: readonly Victim[]): Promise<void> {
  const said = stage.listen()
  const [first = '', second = ''] = await moment.begin(stage)
  for (const victim of victims) {
    await stage.kill(victim === 'first' ? first : victim === 'second' ? second : victim)
  }
  await moment.end(stage)
  if (isDeepStrictEqual(victims, moment.failing)) {
    await said(/The change failed at trial, generation \d+ serves on: .*SIGKILL/)
    await stage.agrees(stage.version - 1)
  } else {
    await stage.agrees()
  }
  await stage.save()
  await stage.agrees()
  assert.deepEqual(stage.faults, [])
}

async function killAtAll(t: TestContext, moment: Moment): Promise<void> {
  const stage = await Stage.start(t)
  for (const victims of moment.deaths) {
    await t.test(`kill -9 of ${victims.join(' and ')} ${moment.name}`, () => killAt(stage, moment, victims))
  }
}

/** So many that a worker that is starting would get some, if it accepted any. */
async function manyAnswers({ traffic: { answers } }: Stage) {
  const before = answers.length
  await waitFor(() => answers.length > before + 2_000, 'many requests')
  return answers.slice(before)
}

suite('a change that loses a process', { concurrency: 2, timeout }, () => {
  for (const moment of MOMENTS) {
    test(moment.name, { timeout }, (t) => killAtAll(t, moment))
  }

  for (const moment of MOMENTS.slice(-3)) {
    test(`kill -9 of the master ${moment.name}: what is started next serves it`, { timeout }, async (t) => {
      const stage = await Stage.start(t)
      await moment.begin(stage)
      const ended = await stage.killMaster()
      await moment.end(stage)
      await ended()
      const next = await Stage.restart(t, stage)
      await next.agrees()
      await next.save()
      await next.agrees()
      assert.deepEqual(next.faults, [])
    })
  }

  test('a worker that does not acknowledge is replaced by one that serves what was decided', {
    timeout,
  }, async (t) => {
    const stage = await Stage.start(t)
    const said = stage.listen()
    await stage.save('swap', ['worker-2'])
    await stage.reached('swap', 1)
    await said(/Worker 2 is killed and started anew: /)
    await stage.release('swap')
    await stage.agrees()
    await stage.save()
    await stage.agrees()
    // What the stuck worker had taken waited for it, and was lost with it.
    assert.ok(stage.traffic.lost.length <= stage.traffic.clients, stage.traffic.lost.join())
  })

  test('a change is built although the process that built the one before was killed', {
    timeout,
  }, async (t) => {
    const stage = await Stage.start(t)
    await stage.save()
    await stage.agrees()
    const builders = stage.gateway.pids('esbuild')
    assert.notEqual(builders.length, 0)
    await killProcesses(builders)
    await stage.save()
    await stage.agrees()
    assert.deepEqual(stage.faults, [])
  })

  test('a worker that starts accepts nothing before it serves, after a first start without a generation too', {
    timeout,
  }, async (t) => {
    const stage = await Stage.startBroken(t)
    await stage.hold('start', 'worker-2')
    await stage.kill('worker-2')
    const said = stage.listen()
    await stage.configure('meanwhile')
    await said(/Generation \d+ is live/)
    await manyAnswers(stage)
    await stage.release('start')
    await stage.agrees()
    assert.deepEqual(stage.faults, [])
  })

  test('a worker that starts while a generation is replaced accepts nothing before it serves the next one', {
    timeout,
  }, async (t) => {
    const stage = await Stage.start(t)
    await stage.hold('start', 'worker-2')
    await stage.kill('worker-2')
    const said = stage.listen()
    await stage.save('start', ['worker-2'])
    await said(/Generation \d+ is live/)
    await stage.plugin.release(stage.version - 1, 'start')
    // It has begun with what is not committed any more, and starts the plugin of what is.
    await stage.reached('start', 1)
    const versions = (await manyAnswers(stage)).map(({ version }) => version)
    assert.deepEqual(new Set(versions), new Set([stage.version]))
    await stage.release('start')
    await stage.agrees()
    assert.deepEqual(stage.faults, [])
  })

  for (const isStillStarting of [false, true]) {
    const when = isStillStarting ? 'is still starting on' : 'has started on'
    test(`a worker that ${when} what was replaced is brought on by a supervisor that cannot read what serves`, {
      timeout,
    }, async (t) => {
      const stage = await Stage.start(t)
      const letStart = (): Promise<void> => stage.plugin.release(stage.version - 1, 'start')
      await stage.hold('start', 'worker-2')
      await stage.kill('worker-2')
      const said = stage.listen()
      await stage.save()
      await said(/Generation 2 is live/)
      await stage.saveBroken()
      await said(/The change failed at build/)
      await stage.gateway.dir.write({ '.cardea/generations/2.record': '', '.cardea/outline.record': '' })
      if (!isStillStarting) {
        // It brings nobody on any more, and the next one is not there before the worker has started.
        signalProcesses(stage.gateway.pids('cardea: supervisor'), 'SIGSTOP')
        await letStart()
      }
      await stage.kill('supervisor')
      await said(/Nothing can be read of the generation that was committed last, 2, which serves on/)
      if (isStillStarting) await letStart()
      await stage.traffic.turns(
        ({ status, version }) => status === 200 && version === 2,
        'both serve it',
        WORKERS,
      )
      assert.deepEqual(stage.faults, [])
    })
  }

  // The first is asked for its state before the trial, the second not before it is to stage.
  for (const [worker, what] of [
    [1, 'copy state'],
    [2, 'stage'],
  ] as const) {
    test(`a change goes live although worker ${worker} answers nothing any more, which is replaced`, {
      timeout,
    }, async (t) => {
      const stage = await Stage.start(t)
      const said = stage.listen()
      signalProcesses(stage.gateway.pids(`cardea: worker ${worker}`), 'SIGSTOP')
      await stage.save()
      const silence = `Cannot ${what} in worker ${worker}: it does not answer`
      await said(new RegExp(`Worker ${worker} is killed and started anew: ${silence}`))
      await stage.agrees()
      assert.deepEqual(stage.faults, [])
    })
  }

  test('a supervisor that takes over while a worker starts does not wait for it', { timeout }, async (t) => {
    const stage = await Stage.start(t)
    const said = stage.listen()
    await stage.plugin.forget(stage.version, 'start')
    await stage.hold('start', 'worker-2')
    await stage.kill('worker-2')
    await stage.reached('start', 1)
    // However long the rest takes here, its plugin's start does not come to its limit meanwhile.
    signalProcesses(stage.gateway.pids('cardea: worker 2'), 'SIGSTOP')
    await stage.kill('supervisor')
    await said(/Adopted generation \d+/)
    await stage.configure('meanwhile')
    await said(/Generation \d+ is live/)
    await stage.release('start')
    signalProcesses(stage.gateway.pids('cardea: worker 2'), 'SIGCONT')
    await stage.agrees()
    assert.equal(stage.workersEnded, 1, 'nobody ended the one that was late')
    assert.deepEqual(stage.faults, [])
  })

  test('processes that are killed at any moment of many changes leave all on one generation', {
    timeout,
  }, async (t) => {
    const seed = process.env.CARDEA_TEST_SEED ?? randomBytes(4).toString('hex')
    t.diagnostic(`CARDEA_TEST_SEED=${seed}`)
    const { faults, killed } = await campaign(t, { seed, rounds: ROUNDS })
    t.diagnostic(JSON.stringify(killed))
    assert.deepEqual(faults, [])
  })
})

/** `npm run kills` does more. */
const ROUNDS = 5
