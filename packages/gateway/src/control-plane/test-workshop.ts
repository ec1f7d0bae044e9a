import { join } from 'node:path'
import type { Log } from '@cardea/sdk'
import { BuildCache } from './build-cache.ts'
import { ChangeEngine, type EngineOptions } from './change-engine.ts'
import { gather, type Overlay, type Workshop } from './gather.ts'
import { PluginLifecycle } from './lifecycle.ts'
import { NO_OVERLAY } from './recollect.ts'
import { outlineOf, recordOf } from './record.ts'
import { Fingerprints } from './store/fingerprint.ts'
import { GenerationStore } from './store/generation-store.ts'

/** For the tests of this folder only. */

/** A workshop for `cardea.yaml` in that folder, with a log into `said`. */
export async function workshopIn(
  root: string,
  said: string[] = [],
): Promise<Workshop & { readonly log: Log }> {
  const store = await GenerationStore.open(join(root, '.cardea'))
  const fingerprints = new Fingerprints()
  const say = (message: string): void => void said.push(message)
  return {
    source: { kind: 'file', file: join(root, 'cardea.yaml') },
    debug: false,
    quiet: false,
    store,
    fingerprints,
    builds: new BuildCache(fingerprints),
    findRouteProblems: () => [],
    log: { trace: say, debug: say, info: say, warn: say, error: say } as unknown as Log,
  }
}

/** Commits what stands in the folder, as far as the store is concerned. */
export async function commitIn(root: string, overlay: Overlay = NO_OVERLAY): Promise<void> {
  const workshop = await workshopIn(root)
  const number = workshop.store.nextNumber()
  const candidate = await gather(workshop, { number, overlay, lifecycle: new PluginLifecycle() })
  const story = { changes: [], cause: { kind: 'start' }, who: 'ada' } as const
  const { record, blobs } = recordOf(candidate, story, workshop)
  await workshop.store.decide(record, blobs)
  await workshop.store.keepOutline(outlineOf(candidate, workshop))
}

/** They take every generation, as far as this is about. */
export const WILLING_WORKERS = {
  generationsLive: 1,
  stage: async () => undefined,
  states: async () => [],
  commit: async () => ({ swappedAt: [], failed: [] }),
  discardUnfinished: () => undefined,
}

/** Makes changes over those. */
export function engineOver(workshop: Workshop & { readonly log: Log }, parts: object = {}): ChangeEngine {
  return new ChangeEngine({
    workshop,
    log: workshop.log,
    hasFallback: true,
    trials: { try: async () => undefined },
    workers: WILLING_WORKERS,
    master: { stageListeners: async () => undefined, commit: async () => undefined },
    lookAtFiles: () => undefined,
    onReport: () => undefined,
    onCommitted: () => undefined,
    findMoves: () => [],
    newLifecycle: () => new PluginLifecycle(),
    ...parts,
  } as unknown as EngineOptions)
}
