import type { BuiltInCase } from './built-ins.ts'

/** What an exchange through each built-in plugin is, and what the plugin may add to it. */
export const BUILT_IN_CASES: readonly BuiltInCase[] = []
