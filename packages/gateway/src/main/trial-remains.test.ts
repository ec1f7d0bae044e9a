import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { processTraces, remainsSince } from './trial-remains.ts'

test('remainsSince() names each kind of thing that is left, once for each piece', async () => {
  const before = processTraces()
  assert.deepEqual(remainsSince(before), [])
  const timers = [setTimeout(() => {}, 100_000), setInterval(() => {}, 100_000)]
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const listener = (): void => {}
  process.on('beforeExit', listener)
  Reflect.set(globalThis, 'ofPlugin', 1)
  process.env.OF_PLUGIN = 'secret'
  const directory = process.cwd()
  process.chdir('/')
  try {
    assert.deepEqual(remainsSince(before).sort(), [
      "a listener to the process's beforeExit",
      'an open TCPServerWrap',
      'an open Timeout',
      'an open Timeout',
      'the global ofPlugin',
      'the variable OF_PLUGIN',
      'the working directory /',
    ])
  } finally {
    process.chdir(directory)
    for (const timer of timers) clearTimeout(timer)
    server.close()
    process.off('beforeExit', listener)
    Reflect.deleteProperty(globalThis, 'ofPlugin')
    delete process.env.OF_PLUGIN
  }
})

test('remainsSince() finds a variable that was changed, and does not say what it holds', () => {
  process.env.OF_PLUGIN = 'a'
  const before = processTraces()
  process.env.OF_PLUGIN = 'b\nc'
  try {
    assert.deepEqual(remainsSince(before), ['the variable OF_PLUGIN'])
  } finally {
    delete process.env.OF_PLUGIN
  }
})

test('remainsSince() passes over what does not keep the process alive', () => {
  const before = processTraces()
  const timer = setInterval(() => {}, 100_000).unref()
  assert.deepEqual(remainsSince(before), [])
  clearInterval(timer)
})
