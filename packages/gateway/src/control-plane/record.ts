import type { ChangeCause } from '../protocol/control.ts'
import type { Candidate, Workshop } from './gather.ts'
import { storableConfig, storablePlugin } from './store/stored-plugin.ts'
import type { Blob, GenerationOutline, StoredConfig, StoredGeneration } from './store/types.ts'

interface Story {
  readonly changes: readonly string[]
  readonly cause: ChangeCause
  readonly who: string
  readonly backTo?: number | undefined
}

/** What is kept of a generation: enough to make it again without what stands on disk. `blobs`: all that the record refers to. */
export function recordOf(
  candidate: Candidate,
  { changes, cause, who, backTo }: Story,
  workshop: Workshop,
): { readonly record: StoredGeneration; readonly blobs: readonly Blob[] } {
  const { plan, overlay, built } = candidate
  const { config, blobs } = configOf(candidate, workshop)
  const plugins = built.map(({ manifest, origin, bundle }) => {
    const restored = candidate.restored.get(manifest.folder)
    const stored = storablePlugin({
      name: manifest.name,
      version: manifest.version,
      origin,
      folder: manifest.folder,
      manifestText: manifest.text,
      bundle,
      fingerprint: restored?.fingerprint ?? workshop.builds.fingerprintOf(manifest.folder),
    })
    return { plugin: restored ?? stored.plugin, blobs: stored.blobs }
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
    ...(backTo === undefined ? {} : { backTo }),
  }
  return { record, blobs: [...blobs, ...plugins.flatMap((stored) => stored.blobs)] }
}

/** What is kept of a committed generation for the case that nothing else of it can be read. */
export function outlineOf(candidate: Candidate, workshop: Workshop): GenerationOutline {
  const { plan, overlay } = candidate
  const instances = plan.instances
    .filter(({ category }) => category === 'security')
    .map(({ id, name, plugin, category }) => ({ id, name, plugin, category }))
  const ids = new Set(instances.map(({ id }) => id))
  const routes = plan.routes.map((route) => ({
    ...route,
    ...NO_ACTION,
    chain: route.chain.filter((id) => ids.has(id)),
  }))
  return { number: plan.number, config: configOf(candidate, workshop).config, ...overlay, routes, instances }
}

const NO_ACTION = {
  action: { kind: 'respond', status: 404, headers: {}, body: '' },
  stripPrefix: '',
  rewrite: '',
  requestBodyBytesMax: 0,
} as const

function configOf(
  { config, plan }: Candidate,
  { source }: Workshop,
): { readonly config: StoredConfig; readonly blobs: readonly Blob[] } {
  if (source.kind === 'file') return storableConfig(source.file, config.text)
  const { url, directory } = source
  const port = source.port ?? plan.settings.listeners[0]?.port ?? 0
  return { config: { kind: 'target', url, port, directory }, blobs: [] }
}
