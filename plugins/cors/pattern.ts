export interface Pattern {
  readonly text: string
  readonly matches: (origin: string) => boolean
}

/**
 * Regular expressions over origins, matched by RE2's automata (re2js): in time that grows with the origin's length,
 * whatever the pattern and whatever is sent. JavaScript's own engine tries alternatives one after another, and
 * `^(a+)+$` takes it longer than anyone waits.
 *
 * What RE2 understands but would match more than its author sees is refused besides.
 */
export async function compilePatterns(patterns: readonly string[]): Promise<readonly Pattern[]> {
  // Most configs have none, and loading it takes 50 ms at first and 0.8 MB.
  if (patterns.length === 0) return []
  const { RE2JS } = await import('re2js')
  return patterns.map((text) => {
    try {
      refuseLoose(text)
      const compiled = RE2JS.compile(text)
      return { text, matches: (origin) => compiled.testExact(origin) }
    } catch (error) {
      const reason = (error as Error).message.replace('error parsing regexp: ', 'is none: ')
      throw new Error(`the pattern ${JSON.stringify(text)} of "origin_patterns" ${reason}`)
    }
  })
}

/** Throws an Error whose message completes "the pattern …". */
function refuseLoose(pattern: string): void {
  if (!pattern.startsWith('^')) throw new Error('does not begin with "^", so anything could stand before it')
  const last = pattern.length - 1
  let depth = 0
  let end = -1
  for (let at = 1; at < pattern.length; at++) {
    switch (pattern[at]) {
      case '\\':
        at++
        break
      case '[':
        at = endOfClass(pattern, at)
        break
      case '(':
        depth++
        break
      case ')':
        depth--
        break
      case '|':
        if (depth > 0) break
        throw new Error('has "|" outside of a group, so its ends hold for one side only: write ^(?:a|b)$')
      case '.':
        if (isRepeat(pattern[at + 1])) break
        throw new Error('has a "." that stands for any character, so that other hosts match: write "\\."')
      case '^':
        throw new Error('has a "^" inside; it begins with "^" and ends with "$" and has no others')
      case '$':
        if (at < last)
          throw new Error('has a "$" inside; it begins with "^" and ends with "$" and has no others')
        end = at
    }
  }
  if (end < 0) throw new Error('does not end with "$", so anything could stand after it')
}

/** Where the class that begins at `start` ends; what is not closed RE2 refuses. */
function endOfClass(pattern: string, start: number): number {
  // A "]" right after "[" or "[^" is a member.
  let at = pattern[start + 1] === '^' ? start + 3 : start + 2
  for (; at < pattern.length && pattern[at] !== ']'; at++) if (pattern[at] === '\\') at++
  return at
}

function isRepeat(char: string | undefined): boolean {
  return char !== undefined && '?*+{'.includes(char)
}
