/** Milliseconds of each unit that `format: duration` takes. */
export const DURATION_UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
/** Bytes of each unit that `format: bytes` takes. */
export const SIZE_UNITS = {
  B: 1,
  KB: 1_000,
  KiB: 1_024,
  MB: 1_000_000,
  MiB: 1_048_576,
  GB: 1_000_000_000,
  GiB: 1_073_741_824,
} as const

/**
 * Milliseconds of an option whose schema says `format: duration`, such as `"10m"`. The gateway has checked its form, and
 * hands it on as it is written. Throws RangeError on what is no duration.
 */
export function durationMs(text: string | number): number {
  return amountOf(text, DURATION_UNITS, 'duration with its unit, such as "5s"')
}

/** Bytes of an option whose schema says `format: bytes`, such as `"64KiB"`. Throws RangeError on what is no size. */
export function sizeBytes(text: string | number): number {
  return amountOf(text, SIZE_UNITS, 'size with its unit, such as "64KiB"')
}

function amountOf(given: string | number, units: Readonly<Record<string, number>>, form: string): number {
  const [, amount = '', unit = ''] = /^(\d+(?:\.\d+)?)([A-Za-z]*)$/.exec(String(given)) ?? []
  const factor = unit === '' && Number(amount) === 0 ? 1 : units[unit]
  const value = amount === '' || factor === undefined ? Number.NaN : Math.round(Number(amount) * factor)
  if (!Number.isSafeInteger(value)) throw new RangeError(`${JSON.stringify(given)} is no ${form}`)
  return value
}
