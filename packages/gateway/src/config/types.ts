import type { ErrorCode } from '../base/errors.ts'
import type { Category, GatewaySettings, OnFailure, RoutePlan, UpstreamPlan } from '../protocol/generation.ts'
import type { CardeaFile } from './schema.ts'

/**
 * What the config stage hands to the rest: the loaded file, the manifests, and problems that know where they are.
 * Values keep the files' own form (snake_case, units) until `planSettings` turns them into the generation's.
 *
 *   load.ts           loadConfigFile(path, { env?, readFile? }): Promise<LoadResult>
 *                     configForTarget(url, { host?, port?, directory? }): LoadResult
 *                     readManifest(folder or path, { readFile? }): Promise<ManifestResult>
 *   plan.ts           planSettings(config: LoadedConfig): SettingsPlan
 *   merge.ts          mergeConfig(layers, schema): MergedConfig
 *   plugin-config.ts  checkPluginConfig(manifest, layers: readonly ConfigLayer[]): PluginConfigResult
 *                       (plugin.json's own config is the lowest layer; do not pass it)
 *                     checkFailurePolicy(manifest, override: PluginSettings | null): ConfigProblem | null
 */

/** A place in a file. Lines and columns count from 1. Without a file (`--to URL`) it is `command line`, 1:1. */
export interface Position {
  readonly file: string
  readonly line: number
  readonly column: number
}

/** One thing that is wrong with a file. `message` is a whole sentence; the other fields are its parts. */
export interface ConfigProblem extends Position {
  readonly code: ErrorCode
  /** The key's path as a person writes it: `routes[0].upstream`. '' for the whole file. */
  readonly key: string
  /** The value as the file has it, shortened; what came through `${…}` is shown as `${…}`. '' for a missing key. */
  readonly given: string
  readonly expected: string
  /** The nearest valid key or value, or null when none is near. */
  readonly nearest: string | null
  readonly message: string
  /** The value is a secret: neither the problem nor an excerpt of the file may hold it. */
  readonly hidden?: boolean
  /** Routes hold by themselves, and do not go together: whoever knows how requests are routed knows more of them. */
  readonly conflict?: boolean
  /** Where the first secret begins in the line of this place: an excerpt ends before it. */
  readonly secretColumn?: number
  /** It stands for so many that are not listed. */
  readonly omitted?: number
}

export type JsonObject = Readonly<Record<string, unknown>>

/** A JSON Schema 2020-12. */
export type JsonSchema = JsonObject | boolean

/** Finds places and the written form of values in one file. Pointers are JSON Pointers (RFC 6901) from its root. */
export interface SourceMap {
  readonly file: string
  /** Where the value is; the nearest container's place when the file does not hold it. */
  locate(pointer: string): Position
  /** Where the key of that value is. */
  locateKey(pointer: string): Position
  /** The value as the file has it, before `${…}` was replaced; undefined when the file does not hold it. */
  written(pointer: string): unknown
  /** Whether the value, a string, came through `${…}`: then it may be a secret, and may be coerced. */
  isExpanded(pointer: string): boolean
}

/** A config file that is valid as far as it goes; plugins' own config is checked later, with their schemas. */
export interface LoadedConfig {
  /** Absolute path, or null for `cardea --to URL`. */
  readonly file: string | null
  /** Absolute; relative paths of the file start here. */
  readonly directory: string
  /** Absolute. */
  readonly pluginsDirectory: string
  /** With defaults and `${…}` replaced. May hold secrets: never log or store it. */
  readonly value: CardeaFile
  /** The file's own text, `${…}` as it stands: what the history keeps. '' for `--to`. */
  readonly text: string
  /** The file's value with `${…}` as it stands. */
  readonly unexpanded: unknown
  readonly source: SourceMap
  /** The files of `${file:…}`, absolute: when one of them changes, so does the config. */
  readonly includedFiles: readonly string[]
  /** `cardea dev` shows changes, faults and decisions itself. */
  readonly isWatched?: boolean
}

export type LoadResult = { readonly ok: true; readonly config: LoadedConfig } | LoadFailure

export interface LoadFailure {
  readonly ok: false
  /** Never empty. */
  readonly problems: readonly ConfigProblem[]
  /** For further problems. Absent: the file could not be parsed. */
  readonly part?: ReadablePart
}

/** What could be read of a config with problems. Only good for finding more of them. */
export interface ReadablePart {
  /** What could not be read is left out of it, what neither routes nor plugins ask for has its default. */
  readonly config: LoadedConfig
  /** Null: nothing can be said of plugins. */
  readonly unreadEntries: UnreadEntries | null
  /** Indexes of the routes that the config stands in for. */
  readonly unreadRoutes: ReadonlySet<number>
}

/**
 * By `key`, the entries under a `plugins:` of which not all could be read: their settings, or not even for sure what
 * plugin they are about.
 */
export type UnreadEntries = ReadonlyMap<string, 'name' | 'settings'>

export type Scope = 'global' | 'route'

export type Isolation = 'none' | 'isolate' | 'process'

/** A plugin.json with its defaults applied. `${…}` is not replaced in it: a plugin must not read the environment. */
export interface PluginManifest {
  /** Absolute path of plugin.json. */
  readonly file: string
  /** Absolute path of the plugin's folder. */
  readonly folder: string
  readonly name: string
  readonly version: string
  readonly description: string
  readonly entryPoint: string
  readonly config: JsonObject
  readonly enabled: boolean
  readonly scope: Scope
  readonly category: Category
  readonly priority: number
  /** Null: the plugin takes any config. */
  readonly configSchema: JsonSchema | null
  /** Plugin name to semver range. */
  readonly dependencies: Readonly<Record<string, string>>
  readonly permissions: readonly string[]
  readonly isolation: Isolation
  readonly timeoutMs: number
  readonly onFailure: OnFailure
  readonly source: SourceMap
  /** plugin.json as it was read. */
  readonly text: string
}

export type ManifestResult =
  | { readonly ok: true; readonly manifest: PluginManifest }
  | {
      readonly ok: false
      readonly problems: readonly ConfigProblem[]
      /** What the plugin may be called once they are mended; null: anything. */
      readonly names: readonly string[] | null
    }

/** One entry under a `plugins:` key: `name: false`, or settings that replace those of the layers below. */
export type PluginOverride = PluginOff | PluginSettings

interface PluginOverrideBase {
  /** The key: the instance's name. */
  readonly name: string
  /** Where the entry stands, for problems of later stages. */
  readonly position: Position
  /** The config file, and the entry's JSON Pointer in it; `${pointer}/config` is its config. */
  readonly map: SourceMap
  readonly pointer: string
  /** The entry as a person writes it: `routes[0].plugins.auth`. */
  readonly key: string
}

/** `name: false`: the instance does not run here. */
export interface PluginOff extends PluginOverrideBase {
  readonly kind: 'off'
}

/** Absent members (undefined) leave the layer below as it is. */
export interface PluginSettings extends PluginOverrideBase {
  readonly kind: 'settings'
  /** The plugin's name; undefined: the instance's name is the plugin's (or what `plugins:` says of that name). */
  readonly plugin: string | undefined
  readonly enabled: boolean | undefined
  readonly priority: number | undefined
  readonly timeoutMs: number | undefined
  readonly onFailure: OnFailure | undefined
  readonly isolation: Isolation | undefined
  /** The layer for `mergeConfig` and `checkPluginConfig`; undefined when the entry has no `config`. */
  readonly config: ConfigLayer | undefined
}

/** Instance name to entry, in the file's order. */
export type PluginOverrides = ReadonlyMap<string, PluginOverride>

/** One layer of an instance's config, lowest first. */
export interface ConfigLayer {
  /** File and key path, for people: `cardea.yaml: plugins.cors.config`. */
  readonly source: string
  readonly value: unknown
  /** The file the layer stands in, and where in it. */
  readonly map: SourceMap
  readonly pointer: string
}

export interface MergedConfig {
  readonly value: JsonObject
  /** JSON Pointer of every leaf (scalar, array, empty object) to its layer's `source`, or `schema default`. */
  readonly sources: ReadonlyMap<string, string>
}

export type PluginConfigResult =
  | { readonly ok: true; readonly config: MergedConfig }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] }

/** A route as the config says it; the control plane adds the chain. */
export type RouteDraft = Omit<RoutePlan, 'chain'> & {
  readonly plugins: PluginOverrides
  readonly position: Position
}

export interface SettingsPlan {
  readonly settings: GatewaySettings
  readonly upstreams: readonly UpstreamPlan[]
  readonly routes: readonly RouteDraft[]
  readonly globalPlugins: PluginOverrides
}
