import type { ChangeCause } from '../../protocol/control.ts'
import type { HarmKind } from '../../protocol/faults.ts'
import type { InstancePlan, RoutePlan } from '../../protocol/generation.ts'
import type { PluginOrigin } from '../discover.ts'

/** A generation as it is kept: all that is needed to make it again, and who made it why. */
export interface StoredGeneration {
  readonly number: number
  /** Unix time of its decision, milliseconds. */
  readonly at: number
  readonly cause: ChangeCause
  readonly who: string
  /** What it changed, in short sentences. */
  readonly changes: readonly string[]
  readonly config: StoredConfig
  /** Those that were built for it; what is disabled has no code and is not here. */
  readonly plugins: readonly StoredPlugin[]
  readonly controls: PluginControls
  readonly pins: readonly Pin[]
  /** Of a rollback, one that had to be approved too: the generation whose content it has. Older records only have the cause. */
  readonly backTo?: number
}

/**
 * What must not be forgotten of the generation that was committed last, should its record or what that refers to be
 * lost: which of its requests met which security plugins, and what commands had laid over the files.
 */
export interface GenerationOutline {
  readonly number: number
  readonly config: StoredConfig
  readonly controls: PluginControls
  readonly pins: readonly Pin[]
  /** Which requests they match; chains of security instances only, and nothing of what becomes of the requests. */
  readonly routes: readonly RoutePlan[]
  /** The security instances. */
  readonly instances: readonly SecurityInstance[]
}

export type SecurityInstance = Pick<InstancePlan, 'id' | 'name' | 'plugin' | 'category'>

/** What is left of the generation that was decided last. */
export type LastDecided =
  /** None was ever decided here, as far as can be seen. */
  | { readonly kind: 'none' }
  /** The record; what it refers to may be damaged. */
  | {
      readonly kind: 'record'
      readonly record: StoredGeneration
      readonly outline: GenerationOutline | null
    }
  /** The record is damaged or gone. */
  | { readonly kind: 'outline'; readonly outline: GenerationOutline }
  /** There was one, and that is all that can be read of it. `number`: at least; 0 when nobody knows. */
  | { readonly kind: 'lost'; readonly number: number }

export type StoredConfig =
  /** `textHash` is the blob of the file's text with `${…}` as it stands: secrets are read anew by a rollback, never kept. */
  | { readonly kind: 'file'; readonly file: string; readonly textHash: string }
  /** `cardea --to URL`. */
  | {
      readonly kind: 'target'
      readonly url: string
      readonly port: number
      readonly directory: string
    }

/** One version of a plugin. All hashes are SHA-256, hex. */
export interface StoredPlugin {
  readonly name: string
  readonly version: string
  readonly origin: PluginOrigin
  /** Absolute. */
  readonly folder: string
  /** Absolute. */
  readonly entryFile: string
  /** The blob of plugin.json's text. */
  readonly manifestHash: string
  /** The blob of code and source map. */
  readonly bundleHash: string
  /** `BundlePlan.codeHash`. */
  readonly codeHash: string
  /** What people know the version by: over manifest and code. */
  readonly contentHash: string
  /** `Fingerprints.ofFolder` of the files it was built from: tells whether they still stand there. */
  readonly fingerprint: string
}

/** What commands and the gateway's own decisions lay over config and folders. Part of each generation. */
export interface PluginControls {
  /** Plugins by name, switched off by `cardea plugin disable`. */
  readonly disabled: readonly string[]
  /** Instance name to `InstancePlan.incarnation`; absent: 0. */
  readonly incarnations: Readonly<Record<string, number>>
  /** Instances whose hooks are not called, the newest last. */
  readonly quarantined: readonly Quarantine[]
}

/** Of one instance, whether it is there just now or not. */
export interface Quarantine {
  readonly plugin: string
  /** `BundlePlan.codeHash`. */
  readonly codeHash: string
  /** `quarantineKey` of the instance. */
  readonly key: string
  /** What it did; null when nobody knows any more. */
  readonly harm: HarmKind | null
}

/** A place on disk that somebody does not want as it stands; it holds until what stands there changes. */
export interface Pin {
  /** `config`, or the absolute folder of a plugin. */
  readonly unit: string
  /** For people, and for `cardea release NAME`: `config`, or the plugin's name. */
  readonly name: string
  /** Fingerprint of what stands on disk and is not wanted; null: that nothing is there. */
  readonly rejected: string | null
  /** `StoredPlugin.contentHash` of what it gave, where that was known. Records of an older version do not say. */
  readonly rejectedContent?: string
  readonly runs: PinnedContent
  /** Unix time, milliseconds. */
  readonly since: number
  readonly who: string
}

/** What runs instead. */
export type PinnedContent =
  /** The config of that generation. */
  | { readonly kind: 'generation'; readonly number: number }
  /** The plugin version of that content. */
  | { readonly kind: 'plugin'; readonly contentHash: string }
  /** Nothing, as if the folder were not there. */
  | { readonly kind: 'absent' }

/** A text on its way into the store, under the SHA-256 (hex) of its UTF-8 bytes. */
export interface Blob {
  readonly hash: string
  readonly text: string
}

/** Something in the store that cannot be used. */
export interface StoreDamage {
  /** Absolute. */
  readonly file: string
  /** A sentence. */
  readonly message: string
}
