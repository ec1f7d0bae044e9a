import { basename, dirname } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { Log } from '@cardea/sdk'
import { messageOf } from '../base/errors.ts'
import type { GenerationPlan } from '../protocol/generation.ts'
import type { Reference } from './change.ts'
import { NO_CONTROLS } from './controls.ts'
import { type Candidate, type Overlay, restore, type Workshop } from './gather.ts'
import type { PluginLifecycle } from './lifecycle.ts'
import { quarantineOf } from './quarantine.ts'
import type { SecurityOutline } from './security-loss.ts'
import type { StoredConfig, StoredGeneration } from './store/types.ts'

/**
 * What a supervisor that starts knows of the generation that was committed last. That one is what all changes are
 * compared with, so a store that is damaged must not make it nothing: as much of it as can be read counts.
 */
export interface Recollection {
  /** Can be made again, and so be served; where it is served already, it is as it runs. Beside `former`: an older one than that. */
  readonly reference: Reference | null
  readonly former: Former | null
}

/**
 * The generation that was committed last, when it cannot be made again, or was made of another config file or target: then
 * it is not served in its stead, but the folder is one gateway's, and a new name for its config makes no security plugin
 * unnecessary.
 */
export interface Former {
  /** 0: nobody knows. */
  readonly number: number
  readonly overlay: Overlay
  /** Null when nothing tells which security plugins its routes had. */
  readonly outline: SecurityOutline | null
  /** What it was made of, for people, where this gateway is of something else in the same folder; null: of the same. */
  readonly madeOf: string | null
}

export interface RecollectOptions {
  readonly workshop: Workshop
  readonly log: Log
  /** What the other processes serve; null for nothing. */
  readonly running: GenerationPlan | null
  newLifecycle(): PluginLifecycle
}

/** Never rejects: what is lost is logged. */
export async function recollect(options: RecollectOptions): Promise<Recollection> {
  const { workshop, log, running } = options
  workshop.store.countOnFrom(running?.number ?? 0)
  const last = workshop.store.lastDecided()
  switch (last.kind) {
    case 'none':
      return { reference: null, former: null }
    case 'record': {
      const { record } = last
      const { number, controls, pins } = record
      const madeOf = otherSource(workshop, record.config)
      const known = running?.number === number ? running : last.outline
      const reference = madeOf === null || known === null ? await restored(record, options) : null
      if (reference !== null && madeOf === null) return { reference, former: null }
      const outline = known ?? reference?.candidate.plan ?? null
      return { reference: null, former: { number, overlay: { controls, pins }, outline, madeOf } }
    }
    case 'outline': {
      const { number, controls, pins, config } = last.outline
      log.error(
        `The record of generation ${number}, which was committed last, is lost: only its outline is left`,
      )
      const older = workshop.store.latest()
      const isOfSource = older !== null && otherSource(workshop, older.config) === null
      const reference = isOfSource && running === null ? await restored(older, options) : null
      const madeOf = otherSource(workshop, config)
      return { reference, former: { number, overlay: { controls, pins }, outline: last.outline, madeOf } }
    }
    case 'lost': {
      const { number } = last
      const serves = running?.number === number ? ', which serves on' : ''
      log.error(`Nothing can be read of the generation that was committed last${numbered(number)}${serves}`)
      if (running?.number === number) return { reference: null, former: formerOf(running) }
      return { reference: null, former: { number, overlay: NO_OVERLAY, outline: null, madeOf: null } }
    }
  }
}

export const NO_OVERLAY: Overlay = { controls: NO_CONTROLS, pins: [] }

/** For sentences: `, 12`; '' when nobody knows. */
export function numbered(number: number): string {
  return number === 0 ? '' : `, ${number}`
}

/** Null for what this gateway is of. */
function otherSource({ source }: Workshop, config: StoredConfig): string | null {
  if (config.kind === 'target') {
    const isOwn = source.kind === 'target' && source.url === config.url
    return isOwn ? null : `"cardea --to ${config.url}"`
  }
  if (source.kind === 'target') return basename(config.file)
  if (source.file === config.file) return null
  return dirname(source.file) === dirname(config.file) ? basename(config.file) : config.file
}

/** What a plan tells of the overlay it was made with: plugins that are switched off, and pins, are not in it. */
function formerOf(plan: GenerationPlan): Former {
  const { number, instances } = plan
  const again = instances.filter(({ incarnation }) => incarnation > 0)
  const controls = {
    disabled: [],
    incarnations: Object.fromEntries(again.map(({ name, incarnation }) => [name, incarnation])),
    quarantined: instances
      .filter(({ quarantined }) => quarantined)
      .map((instance) => quarantineOf(instance, instances, null)),
  }
  return { number, overlay: { controls, pins: [] }, outline: plan, madeOf: null }
}

async function restored(record: StoredGeneration, options: RecollectOptions): Promise<Reference | null> {
  const { workshop, log, running, newLifecycle } = options
  try {
    const made = await restore(workshop, record, newLifecycle())
    const candidate = running?.number === record.number ? asItRuns(made, running, newLifecycle()) : made
    return { candidate, settings: candidate.plan.settings }
  } catch (thrown) {
    log.error(`Cannot bring back generation ${record.number}, which served last: ${messageOf(thrown)}`)
    return null
  }
}

/**
 * A generation is kept with `${…}` unexpanded, and what that stands for may have changed while no supervisor was there. What
 * counts is what the workers were given: compared with anything else, the change would be taken for made already.
 */
function asItRuns(made: Candidate, running: GenerationPlan, lifecycle: PluginLifecycle): Candidate {
  const { quarantined } = made.overlay.controls
  if (isDeepStrictEqual({ ...made.plan, bundles: [] }, { ...running, bundles: [] })) {
    made.lifecycle.committed(running, quarantined)
    return made
  }
  lifecycle.committed(running, quarantined)
  lifecycle.inherit(made.lifecycle)
  return { ...made, plan: running, lifecycle }
}
