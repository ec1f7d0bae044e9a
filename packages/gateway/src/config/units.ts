import { DURATION_UNITS, SIZE_UNITS } from '@cardea/sdk'

/** Durations and sizes as config files write them: a number with its unit, or a bare 0. */

/** Node's timers run at once when asked for more, so a longer duration would mean the opposite. */
export const DURATION_MS_MAX = 2_147_483_647

/** Also in the published schemas, so that editors know the forms. */
export const DURATION_PATTERN = '^(0|\\d{1,15}(\\.\\d{1,3})?(ms|s|m|h|d))$'
export const SIZE_PATTERN = '^(0|\\d{1,15}(\\.\\d{1,3})?(B|KB|KiB|MB|MiB|GB|GiB))$'

const DURATION = new RegExp(DURATION_PATTERN)
const SIZE = new RegExp(SIZE_PATTERN)

export const DURATION_FORM = 'a duration with its unit, such as "500ms", "5s", "1m" or "1h", at most "24d"'
export const SIZE_FORM = 'a size with its unit, such as "512B", "64KiB" or "10MB"'

/** Milliseconds of `"5s"`; null when it is not a duration, not whole milliseconds, or over 24 days. */
export function parseDuration(text: string): number | null {
  const ms = parseUnits(text, DURATION, DURATION_UNITS)
  return ms === null || ms > DURATION_MS_MAX ? null : ms
}

/** Bytes of `"64KiB"`; null when it is not a size, not whole bytes, or past 2^53. */
export function parseSize(text: string): number | null {
  return parseUnits(text, SIZE, SIZE_UNITS)
}

/** The shortest exact form: `5000` → `"5s"`, `0` → `"0"`. */
export function formatDuration(durationMs: number): string {
  return formatUnits(durationMs, DURATION_UNITS, ['d', 'h', 'm', 's', 'ms'])
}

/** The shortest exact form in binary units: `65536` → `"64KiB"`, `0` → `"0"`. */
export function formatSize(bytes: number): string {
  return formatUnits(bytes, SIZE_UNITS, ['GiB', 'MiB', 'KiB', 'B'])
}

function parseUnits(text: string, form: RegExp, units: Readonly<Record<string, number>>): number | null {
  const match = form.exec(text)
  if (match === null) return null
  const unit = match[3]
  if (unit === undefined) return 0
  const factor = units[unit]
  if (factor === undefined) return null
  const amount = Number(text.slice(0, -unit.length)) * factor
  // 1.1s is 1100.0000000000002 in binary floating point.
  const whole = Math.round(amount)
  return Math.abs(amount - whole) < 1e-6 && Number.isSafeInteger(whole) ? whole : null
}

function formatUnits<Unit extends string>(
  amount: number,
  units: Readonly<Record<Unit, number>>,
  largestFirst: readonly Unit[],
): string {
  if (amount === 0) return '0'
  for (const unit of largestFirst) {
    if (amount % units[unit] === 0) return `${amount / units[unit]}${unit}`
  }
  throw new RangeError(`Cannot write ${amount} with a unit: it is not a whole number`)
}
