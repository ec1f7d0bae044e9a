import { hash } from 'node:crypto'

/**
 * One step of a shared bucket in Redis, by Redis's own clock: takes back what is given back, then grants. What a worker
 * wants beyond its need it gets of half of what is there: others may come. Whole tokens only: fractions that lie about in
 * several workers are of no use to any of them.
 *
 * Arguments: rate (tokens per second), burst, window ("", "fixed" or "sliding"), its length in milliseconds, returned,
 * index of the window that this was granted in, need, want. Result: tokens, index, milliseconds to the window's end
 * (-1: none), what is left, milliseconds to the next token and to a full bucket. Fractions travel as text.
 */
export const QUOTA_SCRIPT = `
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local rate, burst, window, length = ARGV[1] / 1000, tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local returned, from, need, want = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])

local function granted(free)
  if free < need then return math.max(math.floor(free), 0) end
  return math.max(need, math.floor(math.min(want, free / 2)))
end
local function text(number) return string.format('%.17g', number) end

if window == '' then
  local known = redis.call('HMGET', KEYS[1], 'level', 'at')
  local level = burst
  if known[1] then level = math.min(burst, known[1] + math.max(now - known[2], 0) * rate) end
  level = math.min(burst, level + returned)
  local tokens = granted(level)
  level = level - tokens
  redis.call('HSET', KEYS[1], 'level', text(level), 'at', text(now))
  local reset = (burst - level) / rate
  redis.call('PEXPIRE', KEYS[1], math.min(math.ceil(reset) + 1000, 1e15))
  return { text(tokens), 0, -1, text(level), math.ceil(math.max(1 - level, 0) / rate), math.ceil(reset) }
end

local index = math.floor(now / length)
local known = redis.call('HMGET', KEYS[1], 'index', 'current', 'previous')
local current, previous = 0, 0
-- The clock went back over the end of a window, or that of another Redis took over: the window that has begun goes on.
if known[1] and tonumber(known[1]) == index + 1 then index = index + 1 end
if known[1] and tonumber(known[1]) == index then
  current, previous = tonumber(known[2]), tonumber(known[3])
elseif known[1] and tonumber(known[1]) == index - 1 and window == 'sliding' then
  previous = tonumber(known[2])
end
if from == index then current = math.max(current - returned, 0) end
local ends = (index + 1) * length - now
local before = previous * ends / length
local free = burst - current - before
local tokens = granted(free)
current, free = current + tokens, free - tokens
redis.call('HSET', KEYS[1], 'index', index, 'current', text(current), 'previous', text(previous))
redis.call('PEXPIRE', KEYS[1], 2 * length + 1000)
local missing, wait = 1 - free, 0
if missing > 0 then
  if window == 'sliding' and missing <= before then wait = missing / previous * length
  elseif window == 'sliding' and current > 0 then
    wait = ends + math.min(math.max(missing - before, 0) / current, 1) * length
  else wait = ends end
end
local reset = window == 'fixed' and ends or (current > 0 and ends + length or ends)
return { text(tokens), index, math.ceil(ends), text(free), math.ceil(wait), math.ceil(reset) }
`

export const QUOTA_SCRIPT_SHA = hash('sha1', QUOTA_SCRIPT)
