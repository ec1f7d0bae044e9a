import { basename, dirname } from 'node:path'
import { GatewayError } from '../base/errors.ts'
import { sortProblems } from '../config/problem.ts'
import type { PluginManifest } from '../config/types.ts'
import type { GenerationPlan } from '../protocol/generation.ts'
import type { PluginFault, PluginStage, PluginState, PluginStatus } from '../protocol/plugin-state.ts'
import type { BuiltPlugin } from './build.ts'
import type { FoundPlugin } from './discover.ts'
import type { PluginProblem } from './problem.ts'
import { quarantineKeys } from './quarantine.ts'
import type { IdlePlugin } from './resolve.ts'
import { startFaultOf } from './start-fault.ts'
import type { Quarantine } from './store/types.ts'
import type { VerifiedPlugin } from './verify.ts'

type Step = Exclude<PluginState['kind'], 'failed'> | `failed at ${PluginStage}`

/** What may follow on a state. A generation that a former supervisor committed is taken over as it is: active. */
export const NEXT_STEPS = {
  unknown: ['discovered', 'failed at discover', 'active', 'quarantined'],
  discovered: ['verified', 'failed at verify'],
  verified: ['built', 'disabled', 'failed at build'],
  built: ['validated', 'disabled', 'failed at validate'],
  validated: ['tried', 'active', 'quarantined', 'failed at start'],
  tried: ['active', 'quarantined', 'failed at start'],
  active: ['draining'],
  quarantined: ['draining'],
  draining: ['stopped'],
  stopped: [],
  failed: [],
  disabled: [],
} as const satisfies Readonly<Record<PluginState['kind'] | 'unknown', readonly Step[]>>

/**
 * The plugins of one generation, each with the state that it has reached. Every stage of a change reports here what it
 * got through and what it did not; a plugin that failed or is disabled stays so.
 *
 * A step that cannot follow on the plugin's state is a mistake of ours: INTERNAL_ERROR is thrown. What is told of a
 * generation that is decided is a fact, mistake or not, and no reason to take the change for a failed one: it is noted.
 */
export class PluginLifecycle {
  readonly #plugins = new Map<string, PluginStatus>()
  /** By folder. */
  readonly #manifests = new Map<string, PluginManifest>()
  readonly #onStep: (plugin: PluginStatus) => void
  readonly #onMistake: (mistake: GatewayError) => void
  #hasLooked = false

  /** `onStep` is called after each step of a plugin, `onMistake` before one that is a fact and cannot follow; it may throw. */
  constructor(
    onStep: (plugin: PluginStatus) => void = () => {},
    onMistake: (mistake: GatewayError) => void = raise,
  ) {
    this.#onStep = onStep
    this.#onMistake = onMistake
  }

  /** All that were found, in that order. */
  get plugins(): readonly PluginStatus[] {
    return [...this.#plugins.values()]
  }

  /** As it was read last in that folder, or is held there; null where it is not known, or not in order. What runs may be of an older one. */
  manifestOf(folder: string): PluginManifest | null {
    return this.#manifests.get(folder) ?? null
  }

  /** False for a change that failed before: a config that cannot be read says of no plugin whether it is there. */
  get hasLooked(): boolean {
    return this.#hasLooked
  }

  discovered(found: readonly FoundPlugin[], problems: readonly PluginProblem[]): void {
    this.#hasLooked = true
    for (const { folder } of found) this.#move(folder, { kind: 'discovered' })
    this.#failed('discover', problems)
  }

  verified(plugins: readonly VerifiedPlugin[], problems: readonly PluginProblem[]): void {
    for (const { manifest } of plugins) {
      const { folder, name, version } = manifest
      this.#manifests.set(folder, manifest)
      this.#step({ folder, name, version, state: { kind: 'verified' } })
    }
    this.#failed('verify', problems)
  }

  built(plugins: readonly BuiltPlugin[], problems: readonly PluginProblem[]): void {
    for (const { manifest } of plugins) this.#move(manifest.folder, { kind: 'built' })
    this.#failed('build', problems)
  }

  /** What plugin.json or a command switches off. */
  disabled(plugins: readonly VerifiedPlugin[]): void {
    for (const { manifest } of plugins) {
      this.#move(manifest.folder, { kind: 'disabled', by: manifest.enabled ? 'command' : 'plugin.json' })
    }
  }

  /** `folders`: the plugins with a config that holds; one that fails for another config has failed. */
  validated(
    folders: ReadonlySet<string>,
    idle: readonly IdlePlugin[],
    problems: readonly PluginProblem[],
  ): void {
    this.#failed('validate', problems)
    for (const { plugin, reason } of idle) {
      const { folder } = plugin.manifest
      if (reason === 'named by no route' || !this.#isAt(folder, 'verified', 'built')) continue
      this.#move(folder, {
        kind: 'disabled',
        by: DISABLED_BY[reason],
      })
    }
    for (const folder of folders) {
      if (this.#isAt(folder, 'built')) this.#move(folder, { kind: 'validated' })
    }
  }

  /** A trial process ran the plan's instances. */
  tried(plan: GenerationPlan): void {
    for (const folder of foldersOf(plan).keys()) {
      if (this.#isAt(folder, 'validated')) this.#move(folder, { kind: 'tried' })
    }
  }

  /** Notes what a worker threw when it started the plan's instances; nothing, when that was no plugin's fault. */
  failedToStart(plan: GenerationPlan, thrown: unknown): void {
    const found = startFaultOf(plan, thrown)
    if (found === null) return
    this.#move(found.folder, { kind: 'failed', stage: 'start', faults: [found.fault] })
  }

  /**
   * Every worker serves the plan; one that was served already may be all that is known. `quarantined`: what is known of the
   * instances that it says are.
   */
  committed(plan: GenerationPlan, quarantined: readonly Quarantine[]): void {
    for (const [folder, { name, version }] of foldersOf(plan)) {
      this.#note({ folder, name, version, state: servedState(plan, name, quarantined) })
    }
  }

  /** What was not looked at, and did not run in the generation before either, is as it was there. */
  inherit(before: PluginLifecycle): void {
    for (const plugin of before.plugins) {
      const { folder, state } = plugin
      const isIdle = state.kind === 'verified' || state.kind === 'disabled'
      if (!isIdle || this.#plugins.has(folder)) continue
      this.#plugins.set(folder, plugin)
      this.#takeManifest(before, folder)
    }
  }

  /**
   * The files were looked at again, and give the same generation: what runs is as it was, and all else as it was found now. A plugin
   * that is switched off, or that no route names, may have come, gone or changed all the same.
   */
  lookedAgain(found: PluginLifecycle): void {
    const running = new Map(this.plugins.filter(isServed).map((plugin) => [plugin.name, plugin]))
    this.#plugins.clear()
    this.#manifests.clear()
    for (const plugin of found.plugins) {
      this.#plugins.set(plugin.folder, running.get(plugin.name) ?? plugin)
      this.#takeManifest(found, plugin.folder)
    }
  }

  /** New exchanges do not get the generation any more. */
  draining(): void {
    for (const plugin of this.plugins) {
      const { state } = plugin
      if (state.kind === 'active' || state.kind === 'quarantined')
        this.#note({ ...plugin, state: { kind: 'draining', generation: state.generation } })
    }
  }

  /** No worker runs the generation any more. Nothing happens unless it was draining. */
  stopped(): void {
    for (const plugin of this.plugins) {
      const { state } = plugin
      if (state.kind === 'draining')
        this.#note({ ...plugin, state: { kind: 'stopped', generation: state.generation } })
    }
  }

  /** What has failed at an earlier stage stays so: that is to be mended first. */
  #failed(stage: PluginStage, problems: readonly PluginProblem[]): void {
    for (const [folder, own] of Map.groupBy(problems, (problem) => problem.folder)) {
      if (folder === null || this.#isAt(folder, 'failed')) continue
      this.#move(folder, { kind: 'failed', stage, faults: sortProblems(own).map(faultOf) })
    }
  }

  #takeManifest(from: PluginLifecycle, folder: string): void {
    const manifest = from.manifestOf(folder)
    if (manifest !== null) this.#manifests.set(folder, manifest)
  }

  #isAt(folder: string, ...kinds: readonly PluginState['kind'][]): boolean {
    const kind = this.#plugins.get(folder)?.state.kind
    return kind !== undefined && kinds.includes(kind)
  }

  #move(folder: string, state: PluginState): void {
    const { name, version } = this.#plugins.get(folder) ?? { name: basename(folder), version: null }
    this.#step({ folder, name, version, state })
  }

  #step(plugin: PluginStatus): void {
    const mistake = this.#mistakeIn(plugin)
    if (mistake !== null) throw mistake
    this.#take(plugin)
  }

  #note(plugin: PluginStatus): void {
    const mistake = this.#mistakeIn(plugin)
    if (mistake !== null) this.#onMistake(mistake)
    this.#take(plugin)
  }

  #mistakeIn(plugin: PluginStatus): GatewayError | null {
    const from = this.#plugins.get(plugin.folder)?.state.kind ?? 'unknown'
    const step = stepTo(plugin.state)
    const next: readonly Step[] = NEXT_STEPS[from]
    if (next.includes(step)) return null
    const detail = `Cannot take plugin "${plugin.name}" from ${from} to ${step}: no stage does that`
    return new GatewayError('INTERNAL_ERROR', detail)
  }

  #take(plugin: PluginStatus): void {
    this.#plugins.set(plugin.folder, plugin)
    this.#onStep(plugin)
  }
}

function isServed({ state: { kind } }: PluginStatus): boolean {
  return kind === 'active' || kind === 'quarantined'
}

function raise(mistake: GatewayError): never {
  throw mistake
}

const DISABLED_BY = {
  'disabled in plugin.json': 'plugin.json',
  'disabled by command': 'command',
  'switched off in the config': 'config',
} as const

function servedState(
  { number, instances }: GenerationPlan,
  plugin: string,
  known: readonly Quarantine[],
): PluginState {
  const barred = instances.filter((instance) => instance.plugin === plugin && instance.quarantined)
  if (barred.length === 0) return { kind: 'active', generation: number }
  const keys = quarantineKeys(instances)
  const harmOf = (id: number) => known.find(({ key }) => key === keys.get(id))?.harm ?? null
  const quarantined = barred.map(({ id, name }) => ({ name, harm: harmOf(id) }))
  return { kind: 'quarantined', generation: number, instances: quarantined }
}

function stepTo(state: PluginState): Step {
  return state.kind === 'failed' ? `failed at ${state.stage}` : state.kind
}

function faultOf({ code, message, file, line, column }: PluginFault): PluginFault {
  return { code, message, file, line, column }
}

/** The folders of the plugins that a plan runs. */
function foldersOf(plan: GenerationPlan): Map<string, { readonly name: string; readonly version: string }> {
  const folders = new Map(plan.bundles.map(({ codeHash, entryFile }) => [codeHash, dirname(entryFile)]))
  return new Map(
    plan.instances.map(({ codeHash, plugin: name, version }) => [
      folders.get(codeHash) ?? '',
      { name, version },
    ]),
  )
}
