import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FAULT_LIMITS } from '../config/limits.ts'
import type { InstancePlan } from '../protocol/generation.ts'
import { quarantineKeys, quarantineOf, remembered } from './quarantine.ts'

function instance(id: number, changes: Partial<InstancePlan> = {}): InstancePlan {
  const plan = {
    id,
    name: `i${id}`,
    plugin: 'p',
    codeHash: 'c',
    entryPoint: 'PluginMain',
    config: { a: 1, b: 2 },
  }
  return {
    ...plan,
    permissions: [],
    dependencies: [],
    incarnation: 0,
    key: 'k',
    ...changes,
  } as unknown as InstancePlan
}

const keyOf = (...instances: readonly InstancePlan[]): string | undefined =>
  quarantineKeys(instances).get(instances.at(-1)?.id ?? 0)

test('quarantineKeys() go by code and config, of dependencies too, and not by how often an instance was made', () => {
  const key = keyOf(instance(0))
  assert.equal(keyOf(instance(0, { incarnation: 3, key: 'other', priority: 9, config: { b: 2, a: 1 } })), key)
  for (const changed of [
    { codeHash: 'd' },
    { config: { a: 2, b: 2 } },
    { name: 'x' },
    { permissions: ['kv'] },
  ]) {
    assert.notEqual(keyOf(instance(0, changed)), key)
  }
  const user = instance(1, { dependencies: [0] })
  const used = keyOf(instance(0), user)
  assert.equal(keyOf(instance(0, { incarnation: 3 }), user), used)
  assert.notEqual(keyOf(instance(0, { codeHash: 'd' }), user), used)
})

test('remembered() keeps what is there, and the newest of what is not', () => {
  const there = instance(0)
  const absent = Array.from({ length: FAULT_LIMITS.quarantinesKeptMax + 1 }, (_, number) => {
    const other = instance(0, { codeHash: `gone ${number}` })
    return quarantineOf(other, [other], 'stall')
  })
  const own = quarantineOf(there, [there], 'stall')
  assert.deepEqual(remembered([own, ...absent], [there]), [own, ...absent.slice(1)])
  const few = [own, ...absent.slice(3)]
  assert.deepEqual(remembered(few, []), few)
})
