/**
 * The query, question mark included, that goes on after plugins edited it. `sent` is what the client wrote, `asRead` and `now`
 * what URLSearchParams writes of it before and after the edits.
 *
 * A pair that is still there goes on as the client wrote it: URLSearchParams would write ` ` as `+`, give each name a `=`, and
 * replace bytes that are not UTF-8 for good, and then no signature over the query holds any more. A pair that is not among
 * those of `now` goes on in no spelling, for the spellings of a name are compared as they were read.
 */
export function editedSearch(sent: string, asRead: string, now: string): string {
  if (now === asRead) return sent
  const wanted = now === '' ? [] : now.split('&')
  const written = sent.slice(1).split('&')
  // One for each piece but the empty ones (URL Standard, application/x-www-form-urlencoded, parsing).
  const forms = asRead.split('&').values()
  const spellings = new Map<string, string[]>()
  const cut: string[] = []
  let found = 0
  for (const piece of written) {
    if (piece === '') {
      cut.push(piece)
      continue
    }
    const form = forms.next().value ?? ''
    const known = spellings.get(form)
    if (known === undefined) spellings.set(form, [piece])
    else known.push(piece)
    if (form !== wanted[found]) continue
    cut.push(piece)
    found++
  }
  // Pairs were taken out and nothing else: not even a `&` too many goes.
  if (found === wanted.length) return cut.length === 0 ? '' : `?${cut.join('&')}`
  return `?${wanted.map((form) => spellings.get(form)?.shift() ?? form).join('&')}`
}
