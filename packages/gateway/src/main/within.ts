/** Whether the promise resolved in time. */
export async function within(promise: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  const { promise: timeout, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(() => resolve(false), timeoutMs)
  const isInTime = await Promise.race([promise.then(() => true), timeout])
  clearTimeout(timer)
  return isInTime
}
