import type { Static } from 'typebox'
import type { Category, OnFailure } from '../protocol/generation.ts'
import type { ON_FAILURE } from './schema-parts.ts'

type OnFailureFile = Static<ReturnType<typeof ON_FAILURE>>

/** `on_failure` in the generation's form. */
export function toOnFailure(value: OnFailureFile): OnFailure {
  if (typeof value === 'string') return { kind: value === 'open' ? 'open' : 'closed' }
  return { kind: 'fallback', ...value.fallback }
}

/** The same for a manifest, where the category decides what an absent one means. */
export function failurePolicyOf(value: OnFailureFile | undefined, category: Category): OnFailure {
  if (value !== undefined) return toOnFailure(value)
  return category === 'observe' || category === 'cache' ? { kind: 'open' } : { kind: 'closed' }
}
