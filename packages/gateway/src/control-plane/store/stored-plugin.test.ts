import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sha256 } from './blobs.ts'
import { bundleOf, type PluginParts, storablePlugin } from './stored-plugin.ts'

const BUNDLE = {
  codeHash: sha256('code'),
  code: 'code',
  sourceMap: '{}',
  entryFile: '/srv/plugins/a/plugin.ts',
}

const PARTS: PluginParts = {
  name: 'a',
  version: '1.0.0',
  origin: 'user',
  folder: '/srv/plugins/a',
  manifestText: '{"name":"a"}',
  bundle: BUNDLE,
  fingerprint: 'f1',
}

test('storablePlugin() makes blobs whose hashes are those of their texts', () => {
  const { plugin, blobs } = storablePlugin(PARTS)
  assert.deepEqual(
    blobs.map(({ hash }) => hash),
    blobs.map(({ text }) => sha256(text)),
  )
  assert.deepEqual(
    blobs.map(({ hash }) => hash),
    [plugin.manifestHash, plugin.bundleHash],
  )
  assert.equal(blobs[0]?.text, PARTS.manifestText)
  assert.deepEqual(bundleOf(plugin, blobs[1]?.text ?? ''), BUNDLE)
})

test('storablePlugin() makes the same of the same parts, and another one of any other', () => {
  const { plugin } = storablePlugin(PARTS)
  assert.equal(storablePlugin({ ...PARTS }).plugin, plugin)
  const others: Partial<PluginParts>[] = [
    { name: 'b' },
    { version: '1.0.1' },
    { origin: 'built-in' },
    { folder: '/srv/plugins/b' },
    { manifestText: '{"name":"a","priority":1}' },
    { fingerprint: 'f2' },
    { bundle: { ...BUNDLE, code: 'more code' } },
  ]
  for (const other of others) {
    assert.notDeepEqual(storablePlugin({ ...PARTS, ...other }).plugin, plugin, JSON.stringify(other))
  }
  assert.deepEqual(storablePlugin(PARTS).plugin, plugin)
})
