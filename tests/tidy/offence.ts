import type { SourceTree } from './source-tree.ts'

export type RuleName =
  | 'import-direction'
  | 'undeclared-package'
  | 'dead-file'
  | 'leftover'
  | 'file-length'
  | 'function-length'
  | 'default-export'
  | 'any'
  | 'registry-host'

export interface Offence {
  readonly rule: RuleName
  readonly path: string
  /** From 1. */
  readonly line: number
  /** What an exception names: the path, or for a function `path#name`. */
  readonly subject: string
  /** A sentence: the offender, the reason, the way out. */
  readonly message: string
}

export type Rule = (tree: SourceTree) => Offence[]

/** An offence that is let pass, and why. */
export interface Exception {
  readonly rule: RuleName
  readonly subject: string
  readonly why: string
}
