import type { PathPattern } from './pattern.ts'

/** Paths that no pattern tells apart, by one of them. */
export interface PathCell {
  /** Normalised and folded. */
  readonly path: string
  /** Indices of the patterns that match it. */
  readonly matched: readonly number[]
}

/** How much may be looked at, in patterns at a place; shared by what belongs together. */
export interface Budget {
  left: number
}

interface Position {
  readonly path: string
  readonly depth: number
  /** Patterns that match all segments so far, and have no fewer. */
  readonly alive: readonly number[]
  /** Prefix patterns that have fewer, and match whatever comes. */
  readonly open: readonly number[]
}

/**
 * One path for each set of patterns that some path matches: whatever is decided by which patterns match a path can be
 * decided for all paths with these. Null when there are more than the budget allows; patterns with many parameters can
 * have very many.
 */
export function pathCells(patterns: readonly PathPattern[], budget: Budget): PathCell[] | null {
  const cells: PathCell[] = []
  const seen = new Set<string>()
  const fresh = freshSegment(patterns)
  const waiting: Position[] = [{ path: '', depth: 0, alive: [...patterns.keys()], open: [] }]
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    const id = `${at.depth} ${at.alive} ${at.open}`
    if (seen.has(id)) continue
    seen.add(id)
    budget.left -= 1 + at.alive.length
    if (budget.left < 0) return null
    const ending = at.alive.filter((index) => patterns[index]?.segments.length === at.depth)
    const matched = [...at.open, ...ending]
    if (at.depth > 0 && matched.length > 0) cells.push({ path: at.path, matched })
    waiting.push(...stepsFrom(at, ending, patterns, fresh))
  }
  return cells
}

/** The positions after one more segment: each literal that some pattern has here, one that none has, and none at all. */
function stepsFrom(
  { path, depth, alive, open }: Position,
  ending: readonly number[],
  patterns: readonly PathPattern[],
  fresh: string,
): Position[] {
  const going = alive.filter((index) => !ending.includes(index))
  if (going.length === 0 && ending.length === 0) return []
  const byLiteral = new Map<string, number[]>()
  const parameters: number[] = []
  for (const index of going) {
    const segment = patterns[index]?.segments[depth] ?? null
    if (segment === null) parameters.push(index)
    else byLiteral.set(segment, [...(byLiteral.get(segment) ?? []), index])
  }
  const stillOpen = [...open, ...ending.filter((index) => patterns[index]?.prefix)]
  const step = (segment: string): Position => {
    const literal = byLiteral.get(segment) ?? []
    // The router takes `/admin;x` for `/admin` where nothing is closer.
    const semicolon = segment.indexOf(';')
    const bare = semicolon === -1 ? [] : (byLiteral.get(segment.slice(0, semicolon)) ?? [])
    const taken = segment === '' ? [] : parameters
    const next = [...literal, ...bare, ...taken].sort((a, b) => a - b)
    return { path: `${path}/${segment}`, depth: depth + 1, alive: next, open: stillOpen }
  }
  const segments = new Set([...byLiteral.keys(), fresh, ''])
  return Array.from(segments, step).filter((next) => next.alive.length > 0 || next.open.length > 0)
}

function freshSegment(patterns: readonly PathPattern[]): string {
  const taken = new Set(patterns.flatMap(({ segments }) => segments))
  let fresh = 'x'
  while (taken.has(fresh)) fresh += 'x'
  return fresh
}
