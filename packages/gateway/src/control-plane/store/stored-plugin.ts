import type { BundlePlan } from '../../protocol/generation.ts'
import { blobOf, sha256 } from './blobs.ts'
import type { Blob, StoredConfig, StoredPlugin } from './types.ts'

/** What is put into the store, as blobs and what refers to them. */

export interface PluginParts {
  readonly name: string
  readonly version: string
  readonly origin: StoredPlugin['origin']
  readonly folder: string
  /** plugin.json as it was read. */
  readonly manifestText: string
  readonly bundle: BundlePlan
  /** `Fingerprints.ofFolder` from before the files were read: a file that changed since then must not count as built. */
  readonly fingerprint: string
}

export interface StorablePlugin {
  readonly plugin: StoredPlugin
  readonly blobs: readonly Blob[]
}

/** A plugin version that was loaded from the store. */
export interface LoadedPlugin {
  readonly plugin: StoredPlugin
  readonly manifestText: string
  readonly bundle: BundlePlan
}

/** By bundle: nearly all plugins of a generation are those of the one before, and need not be hashed again. */
const storables = new WeakMap<
  BundlePlan,
  { readonly parts: PluginParts; readonly storable: StorablePlugin }
>()

/** For equal parts with the same bundle the same one. */
export function storablePlugin(parts: PluginParts): StorablePlugin {
  const known = storables.get(parts.bundle)
  if (known !== undefined && areSame(known.parts, parts)) return known.storable
  const storable = makeStorable(parts)
  storables.set(parts.bundle, { parts, storable })
  return storable
}

function areSame(one: PluginParts, other: PluginParts): boolean {
  return (
    one.name === other.name &&
    one.version === other.version &&
    one.origin === other.origin &&
    one.folder === other.folder &&
    one.manifestText === other.manifestText &&
    one.fingerprint === other.fingerprint
  )
}

function makeStorable(parts: PluginParts): StorablePlugin {
  const { name, version, origin, folder, bundle, fingerprint } = parts
  const manifest = blobOf(parts.manifestText)
  const { codeHash, entryFile } = bundle
  const code = codeBlob(bundle)
  const plugin: StoredPlugin = {
    name,
    version,
    origin,
    folder,
    entryFile,
    manifestHash: manifest.hash,
    bundleHash: code.hash,
    codeHash,
    contentHash: contentHashOf(manifest.hash, codeHash),
    fingerprint,
  }
  return { plugin, blobs: [manifest, code] }
}

/** What a plugin does: equal also for files that differ in nothing but comments. */
export function contentHashOf(manifestHash: string, codeHash: string): string {
  return sha256(`${manifestHash} ${codeHash}`)
}

/** Its text is made when somebody wants it: it is stored once, and weighs as much as the bundle. */
function codeBlob({ code, sourceMap }: BundlePlan): Blob {
  const text = (): string => JSON.stringify({ code, sourceMap })
  return {
    hash: sha256(text()),
    get text() {
      return text()
    },
  }
}

/** The other way round: the bundle from its blob's text. */
export function bundleOf({ codeHash, entryFile }: StoredPlugin, text: string): BundlePlan {
  const { code, sourceMap }: Pick<BundlePlan, 'code' | 'sourceMap'> = JSON.parse(text)
  return { codeHash, code, sourceMap, entryFile }
}

export interface StorableConfig {
  readonly config: StoredConfig
  readonly blobs: readonly Blob[]
}

/** @param text the file's own, `${…}` as it stands. */
export function storableConfig(file: string, text: string): StorableConfig {
  const blob = blobOf(text)
  return { config: { kind: 'file', file, textHash: blob.hash }, blobs: [blob] }
}

/** The hashes of the blobs that a plugin is made of. */
export function blobsOfPlugin({ manifestHash, bundleHash }: StoredPlugin): readonly string[] {
  return [manifestHash, bundleHash]
}

export function blobsOfConfig(config: StoredConfig): readonly string[] {
  return config.kind === 'file' ? [config.textHash] : []
}
