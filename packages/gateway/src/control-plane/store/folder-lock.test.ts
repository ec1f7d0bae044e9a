import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { withTempDir } from '../../../../../tests/support/temp-dir.ts'
import { withUnreapedChild } from '../../../../../tests/support/unreaped.ts'
import { isFolderLocked, lockFolder } from './folder-lock.ts'

/** A process that does nothing until the test ends. */
async function withIdleProcess() {
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], {
    stdio: ['pipe', 'ignore', 'inherit'],
  })
  await once(child, 'spawn')
  const end = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  return { pid: child.pid ?? assert.fail('no process number'), end, [Symbol.asyncDispose]: end }
}

const locksIn = async (directory: string): Promise<string[]> => (await readdir(directory)).sort()

async function holdAs(directory: string, number: number, holder: unknown): Promise<void> {
  const lock = join(directory, `lock.${number}`)
  await mkdir(lock)
  await writeFile(join(lock, 'holder.json'), typeof holder === 'string' ? holder : JSON.stringify(holder))
}

test('isFolderLocked() tells whether a gateway lives that has the folder, and takes nothing', async () => {
  await using dir = await withTempDir()
  await using other = await withIdleProcess()
  assert.equal(await isFolderLocked(join(dir.path, 'nowhere')), false)
  assert.equal(await isFolderLocked(dir.path), false)
  await lockFolder(dir.path, other.pid)
  assert.equal(await isFolderLocked(dir.path), true)
  await other.end()
  assert.equal(await isFolderLocked(dir.path), false)
  assert.deepEqual(await locksIn(dir.path), ['lock.1'])
})

describe('lockFolder()', () => {
  test('refuses a folder that another gateway uses, and names its process', async () => {
    await using dir = await withTempDir()
    await using other = await withIdleProcess()
    await lockFolder(dir.path, other.pid)
    await assert.rejects(lockFolder(dir.path, process.pid), {
      code: 'STORE_LOCKED',
      message: `Cannot use ${dir.path}: the gateway with process number ${other.pid} uses it. Stop it, or start this one in another folder.`,
    })
    assert.deepEqual(await locksIn(dir.path), ['lock.1'])
  })

  test('names the ways out where it cannot be written', async () => {
    await using dir = await withTempDir()
    const file = join(dir.path, 'file')
    await writeFile(file, '')
    await assert.rejects(lockFolder(join(file, 'below'), process.pid), {
      code: 'STORE_WRITE_FAILED',
      message: /ENOTDIR: .*\. Make room or mend the permissions, or start from a folder that may be written/,
    })
  })

  test('lets a gateway have it again, as its supervisor is started anew', async () => {
    await using dir = await withTempDir()
    for (let time = 0; time < 3; time++) await lockFolder(dir.path, process.pid)
    assert.deepEqual(await locksIn(dir.path), ['lock.1'])
  })

  test('takes over from a gateway that was killed', async () => {
    await using dir = await withTempDir()
    await using other = await withIdleProcess()
    await lockFolder(dir.path, other.pid)
    await other.end()
    await lockFolder(dir.path, process.pid)
    assert.deepEqual(await locksIn(dir.path), ['lock.2'])
  })

  test('takes over from a gateway that has ended and that nobody reaps', {
    skip: process.platform !== 'linux',
  }, async () => {
    await using dir = await withTempDir()
    await using other = await withUnreapedChild()
    await lockFolder(dir.path, other.pid)
    await other.end()
    assert.equal(await isFolderLocked(dir.path), false)
    await lockFolder(dir.path, process.pid)
    assert.deepEqual(await locksIn(dir.path), ['lock.2'])
  })

  test('takes over from a process whose number another one has by now', async () => {
    await using dir = await withTempDir()
    await using other = await withIdleProcess()
    await holdAs(dir.path, 1, { pid: other.pid, started: 'long ago' })
    await holdAs(dir.path, 2, { pid: process.pid, started: 'long ago' })
    await lockFolder(dir.path, process.pid)
    assert.deepEqual(await locksIn(dir.path), ['lock.3'])
  })

  test('takes over what a power failure left empty, or somebody emptied', async () => {
    for (const content of ['', '{', '{}', '{"pid":-1}', '{"pid":"1"}', 'null']) {
      await using dir = await withTempDir()
      await holdAs(dir.path, 7, content)
      await lockFolder(dir.path, process.pid)
      assert.deepEqual(await locksIn(dir.path), ['lock.8'])
    }
    await using dir = await withTempDir()
    await mkdir(join(dir.path, 'lock.7'))
    await lockFolder(dir.path, process.pid)
  })

  test('tidies up what starts that died in the middle left', async () => {
    await using dir = await withTempDir()
    await mkdir(join(dir.path, 'lock.x.tmp'))
    await holdAs(dir.path, 3, { pid: process.pid, started: 'long ago' })
    await lockFolder(dir.path, process.pid)
    assert.deepEqual(await locksIn(dir.path), ['lock.4'])
  })

  test('gives a dead gateway’s folder to exactly one of many that start at once', async () => {
    await using dir = await withTempDir()
    await using one = await withIdleProcess()
    await using two = await withIdleProcess()
    for (let round = 0; round < 20; round++) {
      await rm(dir.path, { recursive: true, force: true })
      await mkdir(dir.path)
      if (round % 2 === 0) await holdAs(dir.path, 5, { pid: process.pid, started: 'long ago' })
      const results = await Promise.allSettled(
        [one.pid, two.pid, process.pid, one.pid, two.pid].map((pid) => lockFolder(dir.path, pid)),
      )
      const [lock = '', ...more] = await locksIn(dir.path)
      assert.deepEqual(more, [])
      const { pid } = JSON.parse(await readFile(join(dir.path, lock, 'holder.json'), 'utf8'))
      const winners = results.flatMap(({ status }, index) => (status === 'fulfilled' ? [index] : []))
      const expected = [one.pid, two.pid, process.pid, one.pid, two.pid].flatMap((own, index) =>
        own === pid ? [index] : [],
      )
      assert.deepEqual(winners, expected)
    }
  })

  test('rejects with STORE_WRITE_FAILED where there can be no folder', async () => {
    await using dir = await withTempDir()
    await dir.write({ file: '' })
    await assert.rejects(lockFolder(join(dir.path, 'file'), process.pid), { code: 'STORE_WRITE_FAILED' })
  })
})
