import { GatewayError, messageOf } from '../base/errors.ts'
import { countOf, leftOut, PROBLEMS_TOLD_MAX } from '../config/problem.ts'
import { codeFrame, LineFinder } from '../config/render-problems.ts'
import { sourceTextOf } from '../config/source-text.ts'
import type { ConfigProblem } from '../config/types.ts'
import type { ChangeProblem, HeldLoss } from '../protocol/control.ts'
import type { GenerationPlan } from '../protocol/generation.ts'
import { startFaultOf } from './start-fault.ts'

/** A change that goes no further; what serves stays as it is. */
export class ChangeFailed extends Error {
  /** Never empty. */
  readonly problems: readonly ChangeProblem[]
  /** A process died that the change had nothing to do with: the same change can succeed. */
  readonly isPassing: boolean

  constructor(problems: readonly ChangeProblem[], isPassing = false) {
    super(problems.map(({ message }) => message).join('\n'))
    this.name = 'ChangeFailed'
    this.problems = problems
    this.isPassing = isPassing
  }
}

/** A change that waits for somebody's word. */
export class ChangeHeld extends Error {
  readonly losses: readonly HeldLoss[]
  readonly changes: readonly string[]

  constructor(losses: readonly HeldLoss[], changes: readonly string[]) {
    super('The change is held')
    this.name = 'ChangeHeld'
    this.losses = losses
    this.changes = changes
  }
}

/** To whoever waits for a change. */
export function ending(): GatewayError {
  const message =
    'The gateway ends: it finishes its requests and changes no more. Ask again once it is started again.'
  return new GatewayError('GATEWAY_ENDING', message)
}

export function askerLeft(): GatewayError {
  return new GatewayError('CONTROL_LOST', 'Whoever asked for the change has left, so it is not made.')
}

/** What was read instead of what stands in these files. */
export type StoredTexts = ReadonlyMap<string, string>

/** Problems with places in files, which is what all stages up to `resolve` find. */
export function failedByFiles(
  problems: readonly (ConfigProblem & Partial<Pick<ChangeProblem, 'stage' | 'plugin'>>)[],
  stored: StoredTexts = new Map(),
): ChangeFailed {
  const texts = new Map<string, string | null>(stored)
  const textOf = (file: string): string | null => {
    if (!texts.has(file)) texts.set(file, sourceTextOf(file))
    return texts.get(file) ?? null
  }
  const lines = new LineFinder()
  const told = problems.slice(0, PROBLEMS_TOLD_MAX)
  const others = problems.slice(PROBLEMS_TOLD_MAX)
  // The first of them may stand for many itself.
  if (others[0] !== undefined) told.push(leftOut(others[0], countOf(others)))
  return new ChangeFailed(
    told.map((problem) => {
      const { code, message, file, line, column } = problem
      return {
        stage: problem.stage ?? 'config',
        code,
        message,
        file,
        line,
        column,
        plugin: problem.plugin ?? null,
        frame: codeFrame(problem, textOf, undefined, lines)?.join('\n') ?? null,
        stack: null,
      }
    }),
  )
}

/** What was thrown when the plan's instances were started, or anything else was done with it. */
export function failedByThrow(
  stage: ChangeProblem['stage'],
  plan: GenerationPlan | null,
  thrown: unknown,
): ChangeFailed {
  if (thrown instanceof ChangeFailed) return thrown
  const found = plan === null ? null : startFaultOf(plan, thrown)
  const code = thrown instanceof GatewayError ? thrown.code : 'INTERNAL_ERROR'
  const place = found?.fault ?? { file: '', line: 1, column: 1 }
  // The stack of an error of ours says nothing to whom it is told.
  const cause = thrown instanceof GatewayError ? thrown.cause : thrown
  const problem: ChangeProblem = {
    stage,
    code,
    message: messageOf(thrown),
    file: place.file,
    line: place.line,
    column: place.column,
    plugin: thrown instanceof GatewayError ? thrown.plugin : null,
    frame: found?.frame ?? null,
    stack: cause instanceof Error ? (cause.stack ?? null) : null,
  }
  return new ChangeFailed([problem], code === 'WORKER_LOST' || code === 'TRIAL_FAILED')
}
