import type { Overlay, OverlayEdit } from './gather.ts'
import { fingerprintOfConfig } from './store/fingerprint.ts'
import {
  folderNow,
  pinsForRollback,
  pinsForVersion,
  withHoldsKept,
  withoutReleased,
  withPluginPinned,
} from './store/pins.ts'
import type { PluginControls, Quarantine, StoredGeneration, StoredPlugin } from './store/types.ts'

/** What commands and the gateway's own decisions do to the overlay. */

/** `live`: the generation that serves. */
export function editPluginVersion(
  version: StoredPlugin,
  live: StoredGeneration | null,
  who: string,
): OverlayEdit {
  return (overlay, disk) => {
    const pins = pinsForVersion(overlay.pins, version, disk, live, { who, since: Date.now() })
    return { ...overlay, pins: withHoldsKept(pins, overlay.pins, { isConfigLive: false }) }
  }
}

/**
 * Instead of the version that failed in generation `live`. That one is held back, not what stands on disk by now: files
 * that were mended since then must not be held with it.
 */
export function editTakeBack(version: StoredPlugin, live: StoredGeneration | null): OverlayEdit {
  return (overlay, disk) => {
    const failed = live?.plugins.find(({ name }) => name === version.name)
    const folder = folderNow(failed ?? version, disk, live)
    const pin = overlay.pins.find(({ unit }) => unit === folder)
    const standing = disk.plugins.find((plugin) => plugin.folder === folder)
    // Its files may have been saved since, so that they give the same: with another comment.
    const isFailed = failed !== undefined && standing?.contentHash === failed.contentHash
    const files = isFailed ? standing.fingerprint : (failed?.fingerprint ?? null)
    const pins = withPluginPinned(overlay.pins, version, pin ?? { unit: folder, rejected: files }, {
      who: 'gateway',
      since: Date.now(),
    })
    return { ...overlay, pins }
  }
}

/**
 * The whole generation, with the switches that it had. `live`: the one that serves. What is quarantined stays so: code that
 * harmed a worker is no better for having served before.
 */
export function editRollback(
  target: StoredGeneration,
  live: StoredGeneration | null,
  who: string,
): OverlayEdit {
  const isConfigLive =
    live !== null && fingerprintOfConfig(live.config) === fingerprintOfConfig(target.config)
  return ({ controls: { quarantined }, pins: before }, disk) => {
    const pins = pinsForRollback(target, disk, live, { who, since: Date.now() })
    return {
      controls: { ...target.controls, quarantined },
      pins: withHoldsKept(pins, before, { isConfigLive }),
    }
  }
}

export function editRelease(unit: string | null): OverlayEdit {
  return (overlay) => ({ ...overlay, pins: withoutReleased(overlay.pins, unit) })
}

export function withSwitch(overlay: Overlay, plugin: string, isEnabled: boolean): Overlay {
  const others = overlay.controls.disabled.filter((name) => name !== plugin)
  return withControls(overlay, { disabled: isEnabled ? others : [...others, plugin].toSorted() })
}

/** The instances of these names are made anew. */
export function withIncarnation(overlay: Overlay, names: readonly string[]): Overlay {
  const { incarnations } = overlay.controls
  const next = names.map((name) => [name, (incarnations[name] ?? 0) + 1] as const)
  return withControls(overlay, { incarnations: { ...incarnations, ...Object.fromEntries(next) } })
}

export function withQuarantined(overlay: Overlay, quarantine: Quarantine): Overlay {
  const { quarantined } = overlay.controls
  if (quarantined.some(({ key }) => key === quarantine.key)) return overlay
  return withControls(overlay, { quarantined: [...quarantined, quarantine] })
}

/** Of that plugin; `keys`: only these (see `quarantineKey`). */
export function withoutQuarantine(overlay: Overlay, plugin: string, keys?: ReadonlySet<string>): Overlay {
  const isEnded = (one: Quarantine): boolean => one.plugin === plugin && (keys?.has(one.key) ?? true)
  return withControls(overlay, {
    quarantined: overlay.controls.quarantined.filter((one) => !isEnded(one)),
  })
}

function withControls(overlay: Overlay, changes: Partial<PluginControls>): Overlay {
  return { ...overlay, controls: { ...overlay.controls, ...changes } }
}
