/** Finds what the user probably meant. */

/** The candidate that differs least from `given`, or null when none is near. Case, `-` and `_` count for nothing. */
export function nearestOf(given: string, candidates: readonly string[]): string | null {
  const wanted = plain(given)
  if (wanted === '' || wanted.length > 100) return null
  let best: string | null = null
  // Of two letters, one is no likeness.
  let bestDistance = (wanted.length < 3 ? 0 : Math.max(1, Math.floor(wanted.length / 3))) + 1
  for (const candidate of candidates) {
    if (candidate === given) continue
    const distance = editDistance(wanted, plain(candidate))
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best ?? onlyBeginning(wanted, candidates)
}

/** The one that begins so: nobody shortens a name to what could be two. */
function onlyBeginning(wanted: string, candidates: readonly string[]): string | null {
  const longer = candidates.filter((candidate) => isBeginning(wanted, plain(candidate)))
  return wanted.length >= 3 && longer.length === 1 ? (longer[0] ?? null) : null
}

function isBeginning(wanted: string, whole: string): boolean {
  return whole.length > wanted.length && whole.startsWith(wanted)
}

function plain(text: string): string {
  return text.toLowerCase().replaceAll(/[-_ ]/g, '')
}

/** Insertions, deletions, replacements and swaps of neighbours (optimal string alignment). */
export function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = []
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    for (let column = 1; column <= b.length; column++) {
      const replaced = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1)
      let cost = Math.min((previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1, replaced)
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]
      if (swapped) cost = Math.min(cost, (beforePrevious[column - 2] ?? 0) + 1)
      current.push(cost)
    }
    beforePrevious = previous
    previous = current
  }
  return previous[b.length] ?? 0
}
