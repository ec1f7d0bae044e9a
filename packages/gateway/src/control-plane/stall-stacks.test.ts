import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import type { GenerationPlan } from '../protocol/generation.ts'
import { type StackMapper, StallStacks } from './stall-stacks.ts'

const plan = { bundles: [{ codeHash: 'a' }, { codeHash: 'b' }] } as unknown as GenerationPlan
/** Maps `a:1` to `A:1`. */
const mapStack: StackMapper = ({ codeHash }, { stack = '' }) =>
  stack.replace(`${codeHash}:`, `${codeHash.toUpperCase()}:`)

async function told(...texts: string[]): Promise<StallStacks> {
  const pipe = new PassThrough()
  const stacks = new StallStacks(pipe)
  for (const text of texts) {
    pipe.write(text)
    await new Promise((resolve) => setImmediate(resolve))
  }
  return stacks
}

const line = (id: number, frames: string): string => `${JSON.stringify({ id, frames })}\n`

test('StallStacks.of() keeps the frames of plugins, mapped, of the last that was told for the trial', async () => {
  const stacks = await told(line(7, 'at a:9'), line(7, 'at a:1\nat node:internal\nat b:2'))
  assert.match(stacks.of(7, plan, mapStack)?.stack ?? '', /^Error: .*\nat A:1\nat B:2$/)
  assert.equal(stacks.of(8, plan, mapStack), null)
})

test("StallStacks.of() is null when no frame is a plugin's, and when nothing was told", async () => {
  assert.equal((await told(line(7, 'at node:internal'))).of(7, plan, mapStack), null)
  assert.equal((await told()).of(7, plan, mapStack), null)
  assert.equal(new StallStacks(null).of(7, plan, mapStack), null)
})

test('StallStacks reads lines however they are cut, and passes over what is none', async () => {
  const text = `{}\nnull\n[1\n"x"\n${line(7, 'at a:1')}not json`
  for (let at = 0; at < text.length; at++) {
    const stacks = await told(text.slice(0, at), text.slice(at))
    assert.match(stacks.of(7, plan, mapStack)?.stack ?? '', /\nat A:1$/, `cut at ${at}`)
  }
})

test('StallStacks bounds a line without an end', async () => {
  const stacks = await told(...Array<string>(20).fill('x'.repeat(32 * 1_024)), `\n${line(7, 'at a:1')}`)
  assert.match(stacks.of(7, plan, mapStack)?.stack ?? '', /\nat A:1$/)
})
