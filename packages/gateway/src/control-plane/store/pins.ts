import { isDeepStrictEqual } from 'node:util'
import type { HeldContent, PinStatus } from '../../protocol/control.ts'
import { fingerprintOfConfig } from './fingerprint.ts'
import type { Pin, PinnedContent, StoredConfig, StoredGeneration, StoredPlugin } from './types.ts'

/**
 * Pins hold back files that somebody rolled away from: as long as the disk is as it was then, something else runs in
 * their place. The first change of those files lifts the pin, and so does `cardea release`.
 */

export const CONFIG_UNIT = 'config'

/** What stands on disk, and is not looked at through pins. */
export interface DiskState {
  readonly config: StoredConfig
  /** Every plugin folder. */
  readonly plugins: readonly DiskPlugin[]
}

export interface DiskPlugin {
  /** Absolute. */
  readonly folder: string
  /** The plugin's name, or the folder's where plugin.json cannot be read. */
  readonly name: string
  readonly fingerprint: string
  /** `StoredPlugin.contentHash` of what these files give; null or left out where nobody knows. */
  readonly contentHash?: string | null
  /** It does not run of itself: its plugin.json says so, or it is a built-in that a config has to name. */
  readonly isIdle: boolean
}

export interface PinAuthor {
  readonly who: string
  /** Unix time, milliseconds. */
  readonly since: number
}

/**
 * Those that hold on that disk, each at the place where what it rejects stands by now. A plugin is known by its name: what
 * runs by a pin makes room for a plugin of its name that stands elsewhere and is not held back. Two of one name would fail
 * every change until somebody releases them.
 */
export function pinsOnDisk(pins: readonly Pin[], disk: DiskState): Pin[] {
  const fingerprints = fingerprintsOf(disk)
  let holding = pinsThatHold(followMoves(pins, disk), fingerprints)
  for (let before = -1; before !== holding.length; ) {
    before = holding.length
    const held = new Set(holding.map(({ unit }) => unit))
    const free = new Set(disk.plugins.filter(({ folder }) => !held.has(folder)).map(({ name }) => name))
    holding = holding.filter(({ name, runs }) => runs.kind !== 'plugin' || !free.has(name))
  }
  return holding
}

/**
 * What was rejected may stand in a folder of another name by now: it is held back there.
 *
 * @param running what serves from folders of its own, whatever stands in them by now: none of these is taken from another plugin
 */
export function followMoves(
  pins: readonly Pin[],
  { plugins }: Pick<DiskState, 'plugins'>,
  running: readonly StoredPlugin[] = [],
): Pin[] {
  const fingerprints = new Map(plugins.map(({ folder, fingerprint }) => [folder, fingerprint]))
  // Two folders may have changed names: one whose own pin does not hold there any more is free.
  const holding = new Set(pinsThatHold(pins, fingerprints))
  const taken = new Set([...holding].map(({ unit }) => unit))
  return pins.map((pin) => {
    if (pin.unit === CONFIG_UNIT || holding.has(pin)) return pin
    const [only, ...others] = plugins.filter(
      ({ folder, name, fingerprint }) =>
        name === pin.name &&
        fingerprint === pin.rejected &&
        !taken.has(folder) &&
        !running.some((plugin) => plugin.folder === folder && plugin.name !== name),
    )
    if (only === undefined || others.length > 0) return pin
    taken.add(only.folder)
    return { ...pin, unit: only.folder }
  })
}

/**
 * Those whose unit is still what was rejected. `fingerprints` has the units that are there, by `Pin.unit`; what is not in
 * it is not there.
 */
export function pinsThatHold(pins: readonly Pin[], fingerprints: ReadonlyMap<string, string>): Pin[] {
  return pins.filter(({ unit, rejected }) => (fingerprints.get(unit) ?? null) === rejected)
}

/** The fingerprints of the whole disk, by unit. */
export function fingerprintsOf({ config, plugins }: DiskState): Map<string, string> {
  return new Map([
    [CONFIG_UNIT, fingerprintOfConfig(config)],
    ...plugins.map(({ folder, fingerprint }) => [folder, fingerprint] as const),
  ])
}

/**
 * The pins with which the disk, as it is now, gives generation `target` once more: one for everything that stands
 * there otherwise. They replace all earlier ones.
 *
 * @param live the generation that serves. It tells whether files that look like those of `target` also give the same
 * code: they may not, once something in node_modules is another version.
 */
export function pinsForRollback(
  target: StoredGeneration,
  disk: DiskState,
  live: StoredGeneration | null,
  author: PinAuthor,
): Pin[] {
  const pins: Pin[] = []
  const pin = (unit: string, name: string, rejected: string | null, runs: PinnedContent) =>
    pins.push({ unit, name, rejected, runs, ...author })
  const config = fingerprintOfConfig(disk.config)
  if (config !== fingerprintOfConfig(target.config)) {
    pin(CONFIG_UNIT, CONFIG_UNIT, config, { kind: 'generation', number: target.number })
  }
  const wanted = new Set(target.plugins.map(({ folder }) => folder))
  const settled = new Set<string>()
  for (const plugin of target.plugins) {
    const others = disk.plugins.filter(({ folder }) => folder === plugin.folder || !wanted.has(folder))
    const standing = whereItStands(plugin, others)
    settled.add(standing?.folder ?? plugin.folder)
    if (standing !== null && givesSame(standing, plugin, live)) continue
    const runs = { kind: 'plugin', contentHash: plugin.contentHash } as const
    pin(standing?.folder ?? plugin.folder, plugin.name, standing?.fingerprint ?? null, runs)
  }
  for (const { folder, name, fingerprint, isIdle } of disk.plugins) {
    // What does not run need not be held back. Making it run is a change of its files or of the config, or a command, and to that
    // one it must be there: held back, a built-in could not be put on a route any more, and nothing switched on again.
    const runsNot = isIdle || target.controls.disabled.includes(name)
    if (!runsNot && !settled.has(folder)) pin(folder, name, fingerprint, { kind: 'absent' })
  }
  return pins
}

/**
 * Where the plugin stands now. A pin is for that folder, where somebody will mend it: held in the one that it was moved from, the
 * version would stay beside what was mended. Its own folder where it stands nowhere under its name.
 */
function whereItStands({ name, folder }: StoredPlugin, plugins: readonly DiskPlugin[]): DiskPlugin | null {
  const own = plugins.find((plugin) => plugin.folder === folder)
  if (own?.name === name) return own
  return plugins.find((plugin) => plugin.name === name) ?? own ?? null
}

/** The same, but for folders that another plugin serves from: what stands there under this name is not live yet, or never will be. */
function whereItMayRun(
  plugin: StoredPlugin,
  disk: DiskState,
  live: StoredGeneration | null,
): DiskPlugin | null {
  const others = live?.plugins.filter(({ name }) => name !== plugin.name) ?? []
  const taken = new Set(others.map(({ folder }) => folder))
  return whereItStands(
    plugin,
    disk.plugins.filter(({ folder }) => folder === plugin.folder || !taken.has(folder)),
  )
}

/** Where a pin for that plugin belongs. `live`: as for `pinsForRollback`. */
export function folderNow(plugin: StoredPlugin, disk: DiskState, live: StoredGeneration | null): string {
  return whereItMayRun(plugin, disk, live)?.folder ?? plugin.folder
}

/** The pins after one plugin was rolled back to a stored version. `live`: as for `pinsForRollback`. */
export function pinsForVersion(
  pins: readonly Pin[],
  version: StoredPlugin,
  disk: DiskState,
  live: StoredGeneration | null,
  author: PinAuthor,
): Pin[] {
  const standing = whereItMayRun(version, disk, live)
  const unit = standing?.folder ?? version.folder
  if (standing !== null && givesSame(standing, version, live)) return pins.filter((pin) => pin.unit !== unit)
  const { fingerprint = null, contentHash = null } = standing ?? {}
  const content = contentHash === null ? {} : { rejectedContent: contentHash }
  return withPluginPinned(pins, version, { unit, rejected: fingerprint, ...content }, author)
}

/**
 * The pins with one more, in place of an earlier one of its folder.
 *
 * @param held where it is to run, and what stands there now; null for nothing
 */
export function withPluginPinned(
  pins: readonly Pin[],
  { name, contentHash }: StoredPlugin,
  held: Pick<Pin, 'unit' | 'rejected' | 'rejectedContent'>,
  author: PinAuthor,
): Pin[] {
  const others = pins.filter(({ unit }) => unit !== held.unit)
  return [...others, { ...held, name, runs: { kind: 'plugin', contentHash }, ...author }]
}

/**
 * The same pins; those that hold what is held already have been there since then, in their old order: to hold it once more is
 * no change.
 *
 * @param isConfigLive the config that a pin of these runs is the one that serves, whatever generation they name
 */
export function withHoldsKept(
  pins: readonly Pin[],
  before: readonly Pin[],
  { isConfigLive }: { readonly isConfigLive: boolean },
): Pin[] {
  const isSame = (one: Pin, other: Pin): boolean =>
    one.unit === other.unit &&
    one.name === other.name &&
    one.rejected === other.rejected &&
    (isDeepStrictEqual(one.runs, other.runs) || (isConfigLive && one.unit === CONFIG_UNIT))
  const kept = before.flatMap((earlier) => {
    const pin = pins.find((one) => isSame(one, earlier))
    return pin === undefined ? [] : { ...pin, ...earlier }
  })
  return [...kept, ...pins.filter((pin) => !before.some((earlier) => isSame(pin, earlier)))]
}

/** The pins that are left once `name` (a plugin's, or `config`) is released; null releases all. */
export function withoutReleased(pins: readonly Pin[], name: string | null): Pin[] {
  return name === null ? [] : pins.filter((pin) => pin.name !== name)
}

/** @param live a pinned plugin runs, so the live generation knows its version */
export function pinStatus(pin: Pin, live: StoredGeneration | null): PinStatus {
  const { name: unit, since, who } = pin
  return { unit, runs: heldContent(pin.runs, live), since, who }
}

function heldContent(runs: PinnedContent, live: StoredGeneration | null): HeldContent {
  switch (runs.kind) {
    case 'generation':
      return runs
    case 'plugin': {
      const { contentHash } = runs
      const running = live?.plugins.find((plugin) => plugin.contentHash === contentHash)
      return { kind: 'plugin', version: running?.version ?? null, contentHash }
    }
    case 'absent':
      return { kind: 'nothing' }
  }
}

function givesSame(standing: DiskPlugin, wanted: StoredPlugin, live: StoredGeneration | null): boolean {
  if (typeof standing.contentHash === 'string') return standing.contentHash === wanted.contentHash
  if (standing.fingerprint !== wanted.fingerprint) return false
  const running = live?.plugins.find(({ folder }) => folder === standing.folder)
  const builtFromDisk = running?.fingerprint === standing.fingerprint ? running : undefined
  return builtFromDisk === undefined || builtFromDisk.contentHash === wanted.contentHash
}
