import type { ChangeCause } from '../protocol/control.ts'
import type { Candidate, Workshop } from './gather.ts'
import { storableConfig, storablePlugin } from './store/stored-plugin.ts'
import type { Blob, StoredConfig, StoredGeneration } from './store/types.ts'

interface Story {
  readonly changes: readonly string[]
  readonly cause: ChangeCause
  readonly who: string
}

/** What is kept of a generation: enough to make it again without what stands on disk. */
export function recordOf(
  candidate: Candidate,
  { changes, cause, who }: Story,
  workshop: Workshop,
): { readonly record: StoredGeneration; readonly blobs: readonly Blob[] } {
  const { plan, overlay, built } = candidate
  const { config, blobs } = configOf(candidate, workshop)
  const plugins = built.map(({ manifest, origin, bundle }) => {
    const restored = candidate.restored.get(manifest.folder)
    if (restored !== undefined) return { plugin: restored, blobs: [] }
    return storablePlugin({
      name: manifest.name,
      version: manifest.version,
      origin,
      folder: manifest.folder,
      manifestText: manifest.text,
      bundle,
      fingerprint: workshop.builds.fingerprintOf(manifest.folder),
    })
  })
  const record: StoredGeneration = {
    number: plan.number,
    at: Date.now(),
    cause,
    who,
    changes,
    config,
    plugins: plugins.map(({ plugin }) => plugin),
    controls: overlay.controls,
    pins: overlay.pins,
  }
  return { record, blobs: [...blobs, ...plugins.flatMap((stored) => stored.blobs)] }
}

function configOf(
  { config, plan }: Candidate,
  { source }: Workshop,
): { readonly config: StoredConfig; readonly blobs: readonly Blob[] } {
  if (source.kind === 'file') return storableConfig(source.file, config.text)
  const { url, directory } = source
  const port = source.port ?? plan.settings.listeners[0]?.port ?? 0
  return { config: { kind: 'target', url, port, directory }, blobs: [] }
}
