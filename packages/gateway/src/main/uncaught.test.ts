import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { InstancePlan } from '../protocol/generation.ts'
import type { Suspect } from './suspects.ts'
import { uncaughtOf } from './uncaught.ts'

const suspect = (name: string, codeHash: string): Suspect => ({
  plan: { name, codeHash } as InstancePlan,
  mapStack: () => `mapped by ${name}`,
  frameOf: (stack) => `the line of ${stack}`,
})

const A = 'aaaaaaaaaaaa0000'
const B = 'bbbbbbbbbbbb0000'
const SUSPECTS = [suspect('one', A), suspect('two', A), suspect('other', B)]

function errorAt(...places: readonly string[]): Error {
  const error = new Error('broken')
  error.stack = ['Error: broken', ...places.map((place) => `    at f (${place})`)].join('\n')
  return error
}

const namesOf = (thrown: unknown, stopped: readonly string[] = []) =>
  uncaughtOf(thrown, SUSPECTS, new Set(stopped))?.culprits.map(({ plan }) => plan.name) ?? null

describe('uncaughtOf()', () => {
  it('blames all instances of the innermost plugin on the stack', () => {
    const [inner, outer] = ['/p/b/plugin.ts#bbbbbbbbbbbb:7:3', '/p/a/plugin.ts#aaaaaaaaaaaa:1:2']
    assert.deepEqual(namesOf(errorAt('node:events:1:1', inner, outer)), ['other'])
    assert.deepEqual(namesOf(errorAt(outer, 'node:internal/timers:1:1')), ['one', 'two'])
  })

  it('says what was thrown, by whom, with the stack as the plugin has it', () => {
    const thrown = errorAt('/p/b/plugin.ts#bbbbbbbbbbbb:7:3')
    const error = uncaughtOf(thrown, SUSPECTS, new Set())?.error
    assert.equal(error?.message, 'Plugin "other" threw where nobody catches it: broken')
    assert.deepEqual(
      [error?.code, error?.plugin, error?.stack],
      ['PLUGIN_UNCAUGHT', 'other', 'mapped by other'],
    )
    assert.equal(error?.cause, thrown)
  })

  it('lets no instance pay for what a stopped one of its code, or of older code, may have left running', () => {
    const [a, gone] = ['/p/a/plugin.ts#aaaaaaaaaaaa:1:2', '/p/a/plugin.ts#dddddddddddd:1:2']
    assert.deepEqual(namesOf(errorAt(a), [A]), [])
    assert.deepEqual(namesOf(errorAt(gone), ['dddddddddddd0000']), [])
    assert.deepEqual(namesOf(errorAt(a), [B]), ['one', 'two'])
    const error = uncaughtOf(errorAt(a), SUSPECTS, new Set([A]))?.error
    assert.equal(error?.message, 'A plugin that was stopped threw where nobody catches it: broken')
  })

  it('believes frames only, not what a message quotes', () => {
    const frame = '    at f (/p/b/plugin.ts#bbbbbbbbbbbb:7:3)'
    const quoting = new Error(`unexpected token\n${frame}`)
    assert.equal(namesOf(quoting), null)
    const [head] = [`${quoting.name}: ${quoting.message}`]
    quoting.stack = `${head}\n    at g (/p/a/plugin.ts#aaaaaaaaaaaa:1:2)`
    assert.deepEqual(namesOf(quoting), ['one', 'two'])
  })

  it('blames nobody for what is no error, has no stack, or has no living plugin on it', () => {
    const unreadable = new Error('broken')
    Object.defineProperty(unreadable, 'stack', {
      get() {
        throw new Error('no stack')
      },
    })
    const strangers = errorAt('/p/c/plugin.ts#cccccccccccc:1:1', '/p/a/plugin.ts:1:1')
    for (const thrown of ['text', null, { stack: '#aaaaaaaaaaaa:1:1' }, unreadable, errorAt(), strangers]) {
      assert.equal(namesOf(thrown), null)
    }
  })
})
