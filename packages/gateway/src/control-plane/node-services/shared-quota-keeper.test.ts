import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { test } from 'node:test'
import { waitFor } from '../../../../../tests/support/wait-for.ts'
import type { StateSettings } from '../../protocol/generation.ts'
import { SharedQuotaKeeper } from './shared-quota-keeper.ts'

const SILENT = { debug() {}, info() {}, warn() {}, error() {} }

test('SharedQuotaKeeper connects once, whatever its settings become before the client is loaded', async (t) => {
  let connections = 0
  const server = createServer((socket) => {
    connections++
    socket.on('error', () => {})
    t.after(() => socket.destroy())
  }).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const redis = `redis://127.0.0.1:${(server.address() as AddressInfo).port}`
  const settings: StateSettings = { redis, onLoss: 'local' }
  for (const then of [
    [{ ...settings, onLoss: 'allow' }],
    [null, { ...settings }],
  ] satisfies (StateSettings | null)[][]) {
    connections = 0
    const keeper = new SharedQuotaKeeper({ log: SILENT, send() {}, onBack() {} })
    t.after(() => keeper.close())
    keeper.configure(settings)
    for (const next of then) keeper.configure(next)
    await waitFor(() => connections > 0, 'a connection')
    await new Promise(setImmediate)
    assert.equal(connections, 1)
    keeper.close()
  }
})
