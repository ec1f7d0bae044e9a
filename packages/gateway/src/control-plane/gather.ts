import { join, relative } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { GatewayError } from '../base/errors.ts'
import { builtInPluginsDirectory } from '../base/own-folders.ts'
import { configForTarget, loadConfigFile, readManifest } from '../config/load.ts'
import { alsoProblems, fileProblem } from '../config/problem.ts'
import { readTextFile } from '../config/text-file.ts'
import type { LoadedConfig, LoadResult } from '../config/types.ts'
import type { GenerationPlan } from '../protocol/generation.ts'
import type { ServeSource } from '../protocol/master-supervisor.ts'
import type { BuiltPlugin } from './build.ts'
import type { BuildCache } from './build-cache.ts'
import { failedByFiles, type StoredTexts } from './change-result.ts'
import { readDisk, readPlugins } from './disk.ts'
import { withFurtherProblems } from './further-problems.ts'
import type { PluginLifecycle } from './lifecycle.ts'
import { type PreparedGeneration, type PrepareResult, prepareGeneration } from './prepare.ts'
import { remembered } from './quarantine.ts'
import { type FindRouteProblems, routeProblems } from './route-problems.ts'
import { loadStartKeys } from './start-keys.ts'
import { sha256 } from './store/blobs.ts'
import type { Fingerprints } from './store/fingerprint.ts'
import type { GenerationStore } from './store/generation-store.ts'
import {
  CONFIG_UNIT,
  type DiskPlugin,
  type DiskState,
  followMoves,
  pinsOnDisk,
  pinsThatHold,
} from './store/pins.ts'
import type { Pin, PluginControls, StoredGeneration, StoredPlugin } from './store/types.ts'
import type { VerifiedPlugin } from './verify.ts'

/** What commands lay over the files. */
export interface Overlay {
  readonly controls: PluginControls
  readonly pins: readonly Pin[]
}

/** Changes the overlay, for a change that is not made in files. `disk`: what stands there now. */
export type OverlayEdit = (overlay: Overlay, disk: DiskState) => Overlay | Promise<Overlay>

/** Where files are found and made into a generation. */
export interface Workshop {
  readonly source: ServeSource
  /** As `debug: true` in the config. */
  readonly debug: boolean
  /** Nothing below `warn` is logged, whatever the config says. */
  readonly quiet: boolean
  readonly store: GenerationStore
  readonly builds: BuildCache
  readonly fingerprints: Fingerprints
  readonly findRouteProblems: FindRouteProblems
}

/** A generation that nothing stands against as far as files go. */
export interface Candidate extends PreparedGeneration {
  readonly config: LoadedConfig
  readonly overlay: Overlay
  readonly lifecycle: PluginLifecycle
  /** The plugins that came out of the store, by folder. */
  readonly restored: ReadonlyMap<string, StoredPlugin>
}

export interface GatherOptions {
  readonly number: number
  readonly overlay: Overlay
  readonly edit?: OverlayEdit | undefined
  /** For `gatherLive`, by name: the plugin whose files count as they stand on disk, unless they are pinned. */
  readonly filesOf?: string | undefined
  /** Gets every plugin as far as it came, also when this throws. */
  readonly lifecycle: PluginLifecycle
  /** Aborted when nobody needs it any more: what is being built is given up then. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Reads config and plugin folders as they stand on disk, but for what is pinned, and prepares a generation of them.
 * Throws ChangeFailed with every problem, and the signal's reason where it is aborted during a build.
 */
export async function gather(workshop: Workshop, options: GatherOptions): Promise<Candidate> {
  const { number, lifecycle, signal } = options
  const overlay = await editedOverlay(workshop, options)
  const { controls, pins } = overlay
  const texts = new Map<string, string>()
  const loaded = notCutShort(await loadConfig(workshop, pins, texts), workshop)
  const stored = await pinnedPlugins(workshop.store, pins)
  const files = {
    pinned: await restorePlugins(workshop.store, stored, texts),
    controls,
    build: (plugins: readonly VerifiedPlugin[]) => workshop.builds.build(plugins, signal),
  }
  if (!loaded.ok) {
    const parts = { ...files, lifecycle }
    throw failedByFiles(await withFurtherProblems(loaded, workshop.findRouteProblems, parts), texts)
  }
  const config = accept(loaded, workshop, texts)
  const directories = { user: config.pluginsDirectory, builtIn: builtInPluginsDirectory() }
  const prepared = await prepareGeneration({ ...files, config, number, lifecycle, directories })
  const sound = withSoundRoutes(prepared, config, workshop, texts)
  return {
    ...sound,
    config,
    overlay: { pins, controls: controlsInUse(controls, sound.plan) },
    lifecycle,
    restored: withoutAbsent(stored),
  }
}

/**
 * Whether what `gather` held back is held back by what stands on disk now. A folder that was renamed after it was looked for
 * stood nowhere then, and nothing would hold back what `gather` found in it a moment later.
 */
export async function isHeldAsRead(
  { source, fingerprints }: Workshop,
  { overlay, edit }: GatherOptions,
  candidate: Candidate,
): Promise<boolean> {
  if (edit !== undefined || overlay.pins.length === 0) return true
  const pins = pinsOnDisk(overlay.pins, await readDisk(source, fingerprints))
  return isDeepStrictEqual(pins, candidate.overlay.pins)
}

/** The generation as it is kept, whatever stands on disk. Throws ChangeFailed, STORE_DAMAGED. */
export function restore(
  workshop: Workshop,
  record: StoredGeneration,
  lifecycle: PluginLifecycle,
): Promise<Candidate> {
  const { controls, pins, number } = record
  return remake(workshop, record, { number, overlay: { controls, pins }, lifecycle })
}

/**
 * What serves, with another overlay: for what the gateway decides by itself and what is asked of single plugins, which
 * must not wait until somebody has mended other files on disk. Throws ChangeFailed, STORE_DAMAGED, and the signal's reason as
 * `gather` does.
 */
export async function gatherLive(
  workshop: Workshop,
  record: StoredGeneration,
  options: GatherOptions,
): Promise<Candidate> {
  const { overlay, edit } = options
  const disk = await readDisk(workshop.source, workshop.fingerprints, workshop.builds)
  const moved = { ...overlay, pins: followMoves(overlay.pins, disk, record.plugins) }
  const edited = edit === undefined ? moved : await edit(moved, disk)
  return remake(workshop, record, { ...options, overlay: edited })
}

async function remake(
  workshop: Workshop,
  record: StoredGeneration,
  { number, overlay, filesOf, lifecycle, signal }: GatherOptions,
): Promise<Candidate> {
  const { store, builds } = workshop
  const { controls } = overlay
  const serving = servingPlugins(record, filesOf)
  const texts = new Map<string, string>()
  const loaded =
    record.config.kind === 'file'
      ? await loadText(record.config.file, await store.configText(record.config.textHash), texts)
      : configForTarget(record.config.url, record.config)
  const config = accept(loaded, workshop, texts)
  const directories = { user: config.pluginsDirectory, builtIn: builtInPluginsDirectory() }
  const only =
    filesOf === undefined
      ? new Set<string>()
      : await standingFolders(
          filesOf,
          serving,
          overlay.pins,
          await readPlugins(directories, workshop.fingerprints),
        )
  const pins = overlay.pins.filter(({ unit }) => !only.has(unit))
  const pinned = await pinnedPlugins(store, pins)
  const names = new Set([...pinned.values()].map((plugin) => plugin?.name))
  // What is pinned in a folder that was renamed since then runs there, and not in the one that is gone as well.
  const others = serving.filter(({ name }) => !names.has(name))
  const all = [...others.map((plugin) => [plugin.folder, plugin] as const), ...pinned]
  const stored = withoutAbsent(new Map(all.filter(([folder]) => !only.has(folder))))
  const prepared = await prepareGeneration({
    config,
    number,
    lifecycle,
    directories: only.size === 0 ? null : directories,
    only,
    pinned: await restorePlugins(store, stored, texts),
    controls,
    build: (plugins) => builds.buildSome(plugins, signal),
  })
  const sound = withSoundRoutes(prepared, config, workshop, texts)
  return {
    ...sound,
    config,
    overlay: { pins, controls: controlsInUse(controls, sound.plan) },
    lifecycle,
    restored: stored,
  }
}

/**
 * The plugins of that generation, but for one whose files count and that a command had switched off: it runs nowhere, so what is kept of
 * it says where it stood once, and nothing of where it stands now.
 */
function servingPlugins(
  { plugins, controls: { disabled } }: StoredGeneration,
  filesOf: string | undefined,
): readonly StoredPlugin[] {
  const isOff = ({ name }: StoredPlugin): boolean => name === filesOf && disabled.includes(name)
  return plugins.filter((plugin) => !isOff(plugin))
}

/** No worker looks for what only the router can say of routes. Throws ChangeFailed with that, and all else. */
function withSoundRoutes(
  prepared: PrepareResult,
  config: LoadedConfig,
  { findRouteProblems }: Workshop,
  texts: StoredTexts,
): PreparedGeneration {
  const misrouted = routeProblems(config, findRouteProblems)
  if (!prepared.ok) throw failedByFiles(alsoProblems(misrouted, prepared.problems), texts)
  if (misrouted.length > 0) throw failedByFiles(misrouted, texts)
  return prepared
}

/**
 * Where the files of that plugin stand that may count. A folder that is gone takes nothing with it: that is for a change of
 * files to do. One that runs from another folder stays there: somebody may be copying it just now.
 */
function standingFolders(
  name: string,
  serving: readonly StoredPlugin[],
  pins: readonly Pin[],
  standing: readonly DiskPlugin[],
): ReadonlySet<string> {
  const fingerprints = new Map(standing.map(({ folder, fingerprint }) => [folder, fingerprint]))
  const held = new Set(pinsThatHold(pins, fingerprints).map(({ unit }) => unit))
  const named = standing.filter((plugin) => plugin.name === name).map(({ folder }) => folder)
  const running = serving.filter((plugin) => plugin.name === name).map(({ folder }) => folder)
  const own = running.length === 0 ? named : named.filter((folder) => running.includes(folder))
  return new Set(own.filter((folder) => !held.has(folder)))
}

/**
 * A config for a start that has nothing to serve: the file's own if it is valid, else one that listens where the file says, if
 * so much of it is valid.
 */
export async function loadForListeners({ source }: Pick<Workshop, 'source'>): Promise<LoadedConfig> {
  if (source.kind === 'file') {
    const loaded = await loadConfigFile(source.file)
    const config = loaded.ok ? loaded.config : await loadStartKeys(source.file)
    if (config !== null) return config
  }
  const { port = null } = source.kind === 'target' ? source : {}
  return accept(configForTarget('http://127.0.0.1', { port }), { debug: false, quiet: false })
}

async function editedOverlay(
  { source, fingerprints, builds }: Workshop,
  { overlay, edit }: GatherOptions,
): Promise<Overlay> {
  // Nearly every change: nothing is pinned, and nobody asks what stands on disk.
  if (overlay.pins.length === 0 && edit === undefined) return overlay
  const disk = await readDisk(source, fingerprints, builds)
  const holding = { ...overlay, pins: pinsOnDisk(overlay.pins, disk) }
  return edit === undefined ? holding : edit(holding, disk)
}

async function loadConfig(
  { source, store }: Workshop,
  pins: readonly Pin[],
  texts: Map<string, string>,
): Promise<LoadResult> {
  if (source.kind === 'target') {
    const { url, port, directory } = source
    return configForTarget(url, { directory, ...(port === null ? {} : { port }) })
  }
  const pin = pins.find(({ unit }) => unit === CONFIG_UNIT)
  if (pin?.runs.kind !== 'generation') return loadConfigFile(source.file)
  const { number } = pin.runs
  const record = await store.get(number)
  // The file was rejected: that what ran instead is lost makes it no better.
  if (record === null) {
    const reason = `Cannot load the config of generation ${number}, which runs instead of the file: it is not kept any more.`
    throw new GatewayError('GENERATION_UNKNOWN', `${reason} "cardea release config" lets the file run.`)
  }
  if (record.config.kind !== 'file') return loadConfigFile(source.file)
  return loadText(source.file, await store.configText(record.config.textHash), texts)
}

/**
 * An empty config where there was one: most likely somebody is writing it just now, which the watch alone cannot know,
 * since other files and commands begin changes too. Taken at its word it would take every route off.
 */
function notCutShort(loaded: LoadResult, { store }: Workshop): LoadResult {
  const before = store.latest()?.config
  if (!loaded.ok || before?.kind !== 'file' || loaded.config.text.trim() !== '') return loaded
  const { file, text } = loaded.config
  if (file !== before.file || before.textHash === sha256(text)) return loaded
  const message =
    'The file is empty, and was not before. If that is meant, write "{}": all settings have defaults.'
  const place = { file, line: 1, column: 1 }
  return { ok: false, problems: [fileProblem('CONFIG_INVALID', place, 'settings, or "{}"', message)] }
}

/** `texts` gets what counts instead of what stands in the file. */
function loadText(file: string, text: string, texts: Map<string, string>): Promise<LoadResult> {
  texts.set(file, text)
  return loadConfigFile(file, { readFile: async (path) => (path === file ? text : readTextFile(path)) })
}

/** The config, with what the start's options say over it. */
function accept(
  loaded: LoadResult,
  { debug, quiet }: Pick<Workshop, 'debug' | 'quiet'>,
  texts?: StoredTexts,
): LoadedConfig {
  if (!loaded.ok) throw failedByFiles(loaded.problems, texts)
  const { value } = loaded.config
  return { ...loaded.config, isWatched: quiet, value: { ...value, debug: debug || value.debug } }
}

/** By folder: the version that runs there instead of what stands there; null: nothing. */
async function pinnedPlugins(
  store: GenerationStore,
  pins: readonly Pin[],
): Promise<ReadonlyMap<string, StoredPlugin | null>> {
  const pinned = new Map<string, StoredPlugin | null>()
  for (const { unit, name, runs } of pins) {
    if (runs.kind === 'absent') pinned.set(unit, null)
    if (runs.kind === 'plugin')
      pinned.set(unit, movedTo(unit, await store.findVersion(name, runs.contentHash)))
  }
  return pinned
}

/** A version that was stored from another folder. */
function movedTo(folder: string, plugin: StoredPlugin): StoredPlugin {
  const entryFile = join(folder, relative(plugin.folder, plugin.entryFile))
  return plugin.folder === folder ? plugin : { ...plugin, folder, entryFile }
}

async function restorePlugins(
  store: GenerationStore,
  stored: ReadonlyMap<string, StoredPlugin | null>,
  texts: Map<string, string>,
): Promise<ReadonlyMap<string, BuiltPlugin | null>> {
  const restored = [...stored].map(
    async ([folder, plugin]): Promise<[string, BuiltPlugin | null]> => [
      folder,
      plugin === null ? null : await restorePlugin(store, plugin, texts),
    ],
  )
  return new Map(await Promise.all(restored))
}

/**
 * The plugin as it was when it was stored. Throws ChangeFailed when its manifest is not valid any more. `texts` gets the
 * manifest, which counts instead of what stands in the file.
 */
async function restorePlugin(
  store: GenerationStore,
  plugin: StoredPlugin,
  texts: Map<string, string>,
): Promise<BuiltPlugin> {
  const { manifestText, bundle } = await store.loadPlugin(plugin)
  const { origin, entryFile } = plugin
  const read = await readManifest(plugin.folder, {
    readFile: async (file) => {
      texts.set(file, manifestText)
      return manifestText
    },
    isBuiltIn: origin === 'built-in',
  })
  if (!read.ok) throw failedByFiles(read.problems, texts)
  return { manifest: read.manifest, origin, entryFile, bundle, libraryFiles: [] }
}

function withoutAbsent(stored: ReadonlyMap<string, StoredPlugin | null>): ReadonlyMap<string, StoredPlugin> {
  return new Map([...stored].flatMap(([folder, plugin]) => (plugin === null ? [] : [[folder, plugin]])))
}

/** What is said of instances that are gone would otherwise pile up; quarantines of some of them are remembered. */
function controlsInUse(controls: PluginControls, { instances }: GenerationPlan): PluginControls {
  const names = new Set(instances.map(({ name }) => name))
  return {
    ...controls,
    incarnations: Object.fromEntries(
      Object.entries(controls.incarnations).filter(([name]) => names.has(name)),
    ),
    quarantined: remembered(controls.quarantined, instances),
  }
}
