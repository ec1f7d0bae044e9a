import { planSettings } from '../config/plan.ts'
import type { GatewaySettings } from '../protocol/generation.ts'
import type { Reference } from './change.ts'
import { gather, loadForListeners, type Overlay, type Workshop } from './gather.ts'
import { PluginLifecycle } from './lifecycle.ts'

interface Known {
  /** What commands have laid over the files. */
  readonly overlay: Overlay
  /** What served last. */
  readonly reference: Reference | null
}

/** The settings to open listeners with, before there is a generation: as much of the config as can be had. */
export async function settingsForStart(
  workshop: Workshop,
  { overlay, reference }: Known,
): Promise<GatewaySettings> {
  try {
    const { plan } = await gather(workshop, { number: 1, overlay, lifecycle: new PluginLifecycle() })
    return plan.settings
  } catch {
    if (reference !== null) return reference.settings
    return planSettings(await loadForListeners(workshop)).settings
  }
}
