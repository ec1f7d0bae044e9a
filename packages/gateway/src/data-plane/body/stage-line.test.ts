import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { Stage } from './stage.ts'
import { type LineEnd, StageLine } from './stage-line.ts'

/** What came out of a line, and what its end was told. */
class Out implements LineEnd {
  isFull = false
  /** Full again after each piece. */
  isNarrow = false
  readonly told: string[] = []

  emit(chunk: Buffer, last: boolean): void {
    this.told.push(`${chunk}${last ? '.' : ''}`)
    if (this.isNarrow) this.isFull = true
  }

  onBusy(): void {
    this.told.push('(busy)')
  }

  onIdle(): void {
    this.told.push('(idle)')
  }

  onFailed(error: unknown): void {
    this.told.push(`(${(error as Error).message})`)
  }

  /** What came since the last call. */
  take(): string[] {
    return this.told.splice(0)
  }
}

/** Hands on every letter of a chunk by itself, and says when it is called with nothing. */
class Letters implements Stage {
  readonly calls: string[] = []
  isAborted = false
  #left: string[] = []
  readonly #isAsync: boolean
  #onMore = () => {}

  constructor(isAsync: boolean) {
    this.#isAsync = isAsync
  }

  get hasMore(): boolean {
    return this.#left.length > 0
  }

  push(chunk: Buffer, last: boolean): Buffer | null | Promise<Buffer | null> {
    this.calls.push(`${chunk}${last ? '.' : ''}`)
    this.#left.push(...String(chunk))
    if (this.#left[0] === '!') throw new Error('no')
    const letter = this.#left.shift()
    const made = letter === undefined ? null : Buffer.from(letter)
    return this.#isAsync ? Promise.resolve(made) : made
  }

  listen(onMore: () => void): void {
    this.#onMore = onMore
  }

  /** Makes something of itself. */
  make(letters: string): void {
    this.#left.push(...letters)
    this.#onMore()
  }

  abort(): void {
    this.isAborted = true
  }
}

const doubling: Stage = {
  hasMore: false,
  push: (chunk) => Buffer.concat([chunk, chunk]),
  abort: () => {},
}

function lineOf(...stages: Stage[]): { line: StageLine; out: Out } {
  const out = new Out()
  const line = new StageLine(out)
  for (const stage of stages) line.add(stage)
  return { line, out }
}

for (const isAsync of [false, true]) {
  const how = isAsync ? 'in its own time' : 'at once'

  test(`what a stage makes ${how} of a chunk goes on piece by piece, the last one last`, async () => {
    const letters = new Letters(isAsync)
    const { line, out } = lineOf(letters, doubling)
    line.take(Buffer.from('abc'), false)
    await turn()
    assert.deepEqual(out.take(), ['aa', 'bb', 'cc', '(idle)'])
    line.take(Buffer.from('de'), true)
    await turn()
    assert.deepEqual(out.take(), ['dd', 'ee.', '(idle)'])
    assert.deepEqual(letters.calls, ['abc', '', '', 'de.', '.'])
  })

  test(`a chunk that comes while pieces go on ${how} waits for the last of them`, async () => {
    const { line, out } = lineOf(new Letters(isAsync))
    line.take(Buffer.from('ab'), false)
    line.take(Buffer.from('cd'), true)
    assert.ok(out.take().includes('(busy)'))
    await turn()
    assert.deepEqual(
      out.take().filter((told) => told !== 'a'),
      ['b', 'c', 'd.', '(idle)'],
    )
  })

  test(`two stages that make pieces ${how} keep their order`, async () => {
    const { line, out } = lineOf(new Letters(isAsync), doubling, new Letters(isAsync))
    line.take(Buffer.from('abc'), true)
    await turn()
    assert.deepEqual(out.take(), ['a', 'a', 'b', 'b', 'c', 'c.', '(idle)'])
  })

  test(`no stage is asked ${how} for a piece that there is no room for`, async () => {
    const letters = new Letters(isAsync)
    const { line, out } = lineOf(letters)
    out.isNarrow = true
    line.take(Buffer.from('abc'), true)
    for (const [piece, calls] of [
      ['a', 1],
      ['b', 2],
      ['c.', 3],
    ] as const) {
      await turn()
      assert.deepEqual([out.take()[0], letters.calls.length], [piece, calls])
      await turn()
      assert.deepEqual([out.take(), letters.calls.length], [[], calls])
      out.isFull = false
      line.onRoom()
    }
  })

  test(`a stage that fails ${how} between two pieces fails the line`, async () => {
    const { line, out } = lineOf(new Letters(isAsync))
    line.take(Buffer.from('a!c'), false)
    await turn()
    assert.deepEqual(out.take(), ['a', '(no)'])
  })

  test(`pieces that a stage still has ${how} are gone after stop() and after restart()`, async () => {
    for (const end of ['stop', 'restart'] as const) {
      const letters = new Letters(isAsync)
      const { line, out } = lineOf(letters)
      line.take(Buffer.from('abc'), false)
      line.take(Buffer.from('d'), true)
      line[end]()
      out.take()
      await turn()
      assert.deepEqual([out.take(), letters.isAborted], [[], end === 'stop'])
    }
  })
}

test('what a stage makes between two chunks goes on when it is there, and through the stages behind it', async () => {
  const letters = new Letters(false)
  const { line, out } = lineOf(new Letters(false), letters, doubling)
  line.take(Buffer.from('a'), false)
  assert.deepEqual(out.take(), ['aa'])
  letters.make('b')
  assert.deepEqual(out.take(), ['bb'])
  letters.make('cd')
  await turn()
  assert.deepEqual(out.take(), ['cc', 'dd', '(idle)'])
})

test('what a stage makes between two chunks waits for its turn and for room, before the next chunk', async () => {
  const letters = new Letters(true)
  const { line, out } = lineOf(letters)
  line.take(Buffer.from('a'), false)
  letters.make('b')
  line.take(Buffer.from('c'), false)
  await turn()
  assert.deepEqual(out.take(), ['(busy)', 'a', 'b', 'c', '(idle)'])
  out.isFull = true
  letters.make('d')
  await turn()
  assert.deepEqual(out.take(), [])
  out.isFull = false
  line.onRoom()
  await turn()
  assert.deepEqual(out.take(), ['d', '(idle)'])
})

test('an error that a stage has to tell between two chunks fails the line', () => {
  const letters = new Letters(false)
  const { line, out } = lineOf(letters)
  line.take(Buffer.from('a'), false)
  letters.make('!')
  assert.deepEqual(out.take(), ['a', '(no)'])
})

test('what a stage makes after it was taken off goes nowhere', async () => {
  const letters = new Letters(true)
  const { line, out } = lineOf(letters)
  line.take(Buffer.from('a'), false)
  await turn()
  out.take()
  line.drop(0)
  assert.ok(letters.isAborted)
  letters.make('b')
  await turn()
  assert.deepEqual(out.take(), [])
})
