import { GatewayError } from '../base/errors.ts'
import { nearestOf } from '../config/nearest.ts'
import type { ChangeCause, ChangeReport, ConfigDiff, ControlCommand } from '../protocol/control.ts'
import { approvalOf, approvedOf } from './approval.ts'
import type { ChangeRequest } from './change.ts'
import type { ChangeEngine } from './change-engine.ts'
import type { OverlayEdit } from './gather.ts'
import {
  editPluginVersion,
  editRelease,
  editRollback,
  withIncarnation,
  withoutQuarantine,
  withSwitch,
} from './overlay-edits.ts'
import { quarantinedCode, quarantineKeys } from './quarantine.ts'
import type { StatusBoard } from './status-board.ts'
import type { GenerationStore } from './store/generation-store.ts'
import type { StoredGeneration } from './store/types.ts'

export interface OperationsOptions {
  readonly engine: ChangeEngine
  readonly store: GenerationStore
  readonly board: StatusBoard
  /** The text of the config on disk, or null when there is no file. */
  configText(): Promise<string | null>
}

/** Whoever gave a command, and whether they still wait for what becomes of it. */
export interface Asker {
  readonly who: string
  /** Aborted when they have left. */
  readonly signal: AbortSignal
}

/** What people ask of a running gateway: each command of protocol/control.ts is one of these. */
export class Operations {
  readonly #options: OperationsOptions

  constructor(options: OperationsOptions) {
    this.#options = options
  }

  /** The result is `ControlResults[command.command]`. Rejects with a GatewayError that says what is wrong with it. */
  async handle(command: ControlCommand, asker: Asker): Promise<unknown> {
    const { store, board } = this.#options
    switch (command.command) {
      case 'status':
        return board.status()
      case 'history':
        return store.history(command.limit)
      case 'rollback':
        return this.#rollback(command.generation, asker)
      case 'approve':
        return this.#approve(command.heldId, asker)
      case 'release':
        return this.#release(command.unit, asker)
      case 'plugin-versions':
        return this.#knownVersions(command.plugin)
      case 'plugin-rollback':
        return this.#rollbackPlugin(command.plugin, command.version, asker)
      case 'plugin-enable':
        return this.#switch(command.plugin, true, asker)
      case 'plugin-disable':
        return this.#switch(command.plugin, false, asker)
      case 'plugin-reload':
        return this.#reload(command.plugin, asker)
      case 'plugin-info':
        return board.pluginInfo(this.#known(command.plugin))
      case 'config-diff':
        return this.#diff(command.generation)
      case 'watch':
        return null
    }
  }

  async #rollback(number: number | null, asker: Asker): Promise<ChangeReport> {
    const { store } = this.#options
    const { number: generation } = await store.find(number)
    // Another change may come before, and decide what serves then, or that this is not kept any more.
    const edit: OverlayEdit = async (overlay, disk) =>
      editRollback(await store.find(generation), store.latest(), asker.who)(overlay, disk)
    return this.#change({ kind: 'rollback', generation }, asker, { edit, backTo: generation })
  }

  async #approve(heldId: string | undefined, asker: Asker): Promise<ChangeReport> {
    const { engine } = this.#options
    const { request, report } = approvedOf(engine.held, heldId)
    return engine.requestAndWait({
      ...request,
      cause: approvalOf(request.cause),
      ...asker,
      firstSignAt: performance.now(),
      approved: report.held,
    })
  }

  #release(unit: string | null, asker: Asker): Promise<ChangeReport> {
    const { pins } = this.#options.engine.overlay
    if (pins.length === 0 || (unit !== null && pins.every(({ name }) => name !== unit))) {
      const what = unit === null ? 'Nothing is' : `"${unit}" is not`
      const names = pins.map(({ name }) => name)
      const there = names.length === 0 ? '' : ` Held back are: ${names.join(', ')}.`
      throw new GatewayError('NOTHING_HELD', `${what} held back, so there is nothing to release.${there}`)
    }
    return this.#change({ kind: 'release', unit }, asker, { edit: editRelease(unit) })
  }

  async #knownVersions(plugin: string): Promise<unknown> {
    const versions = await this.#options.board.versionsOf(plugin)
    if (versions.length === 0) this.#known(plugin)
    return versions
  }

  async #rollbackPlugin(plugin: string, version: string | null, asker: Asker): Promise<ChangeReport> {
    const { store, engine } = this.#options
    const badCode = quarantinedCode(engine.overlay.controls.quarantined, plugin)
    const stored =
      version === null ? await store.versionBefore(plugin, badCode) : await store.findVersion(plugin, version)
    const cause = { kind: 'plugin-rollback', plugin, version: stored.version } as const
    const edit: OverlayEdit = (overlay, disk) =>
      editPluginVersion(stored, store.latest(), asker.who)(overlay, disk)
    // Where they give that version, its files count, and nothing is held back.
    return this.#changeLive(cause, asker, { edit, filesOf: plugin, runs: stored.contentHash })
  }

  #switch(plugin: string, isEnabled: boolean, asker: Asker): Promise<ChangeReport> {
    const name = this.#known(plugin)
    const edit: OverlayEdit = (overlay) =>
      // While it is switched off nobody knows what of it will run.
      isEnabled ? withoutQuarantine(withSwitch(overlay, name, true), name) : withSwitch(overlay, name, false)
    const files = isEnabled ? { filesOf: name } : {}
    return this.#changeLive({ kind: isEnabled ? 'enable' : 'disable', plugin: name }, asker, {
      edit,
      ...files,
    })
  }

  #reload(plugin: string, asker: Asker): Promise<ChangeReport> {
    const name = this.#known(plugin)
    const names = this.#instancesOf(name).map((instance) => instance.name)
    if (names.length === 0) {
      throw new GatewayError(
        'PLUGIN_NOT_FOUND',
        `Plugin "${name}" runs nowhere, so there is nothing to reload.`,
      )
    }
    const edit: OverlayEdit = (overlay) =>
      withoutQuarantine(withIncarnation(overlay, names), name, this.#quarantineKeysOf(name))
    return this.#changeLive({ kind: 'reload', plugin: name }, asker, { edit, filesOf: name })
  }

  /** Somebody wants it to run: that is also the word that ends a quarantine, of what would run. */
  #quarantineKeysOf(plugin: string): ReadonlySet<string> {
    const keys = quarantineKeys(this.#options.engine.reference?.candidate.plan.instances ?? [])
    return new Set(this.#instancesOf(plugin).flatMap(({ id }) => keys.get(id) ?? []))
  }

  #instancesOf(plugin: string) {
    const instances = this.#options.engine.reference?.candidate.plan.instances ?? []
    return instances.filter((instance) => instance.plugin === plugin)
  }

  /** The name when there is such a plugin, found in the latest change or running. */
  #known(plugin: string): string {
    const { board, engine } = this.#options
    const names = board.pluginNames()
    if (names.includes(plugin)) return plugin
    if (engine.overlay.pins.some(({ name, runs }) => name === plugin && runs.kind === 'absent')) {
      const why = 'is held back by a rollback to a generation without it'
      const wayOut = `"cardea release ${plugin}" lets it in.`
      throw new GatewayError('PLUGIN_NOT_FOUND', `Plugin "${plugin}" ${why}. ${wayOut}`)
    }
    const nearest = nearestOf(plugin, names)
    const hint = nearest === null ? '"cardea status" lists those there are.' : `Did you mean "${nearest}"?`
    throw new GatewayError('PLUGIN_NOT_FOUND', `There is no plugin "${plugin}". ${hint}`)
  }

  #change(
    cause: ChangeCause,
    asker: Asker,
    what: Pick<ChangeRequest, 'edit' | 'backTo'>,
  ): Promise<ChangeReport> {
    return this.#options.engine.requestAndWait({ cause, ...asker, firstSignAt: performance.now(), ...what })
  }

  /** What concerns one plugin acts on what serves: nobody's half-done edit of other files is in its way, or comes with it. */
  #changeLive(
    cause: ChangeCause,
    asker: Asker,
    what: Pick<ChangeRequest, 'edit' | 'filesOf' | 'runs'>,
  ): Promise<ChangeReport> {
    return this.#options.engine.requestAndWait({
      cause,
      ...asker,
      firstSignAt: performance.now(),
      base: 'live',
      ...what,
    })
  }

  /**
   * From a stored generation (null: the one that serves) to what stands on disk. Nothing but its config need be kept of it:
   * that it cannot be brought back any more is no reason not to show what it said.
   */
  async #diff(number: number | null): Promise<ConfigDiff> {
    const { store } = this.#options
    const from = number === null ? store.latest() : await store.get(number)
    if (from === null) {
      const message =
        number === null
          ? 'There is no generation yet to compare with.'
          : `Generation ${number} is not kept, so there is nothing to compare with. "cardea history" lists those that are.`
      throw new GatewayError('GENERATION_UNKNOWN', message)
    }
    const fromName = `generation ${from.number}`
    const to = await this.#options.configText()
    const toName = to === null ? 'no config file' : 'the file on disk'
    // Only this command needs it, and few supervisors are ever asked.
    const { unifiedDiff } = await import('./text-diff.ts')
    return {
      from: fromName,
      to: toName,
      text: unifiedDiff(fromName, await this.#storedText(from), toName, to ?? ''),
    }
  }

  async #storedText({ config }: StoredGeneration): Promise<string> {
    return config.kind === 'file' ? this.#options.store.configText(config.textHash) : ''
  }
}
