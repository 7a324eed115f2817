// The emoji that the picker offers, with the words by which they are found. Any other one can be typed.

const TABLE = `
👍 thumbs up yes like +1 ok|👎 thumbs down no -1|❤️ heart love red|😂 joy laugh tears|🎉 tada party celebrate hooray|👀 eyes look watching|🙏 thanks please pray|🔥 fire hot
✅ check done yes tick|❌ cross no wrong|🚀 rocket ship launch|💯 hundred full|👏 clap bravo|🤔 thinking hmm|😮 wow surprised open mouth|😢 cry sad tear
😀 grin happy|😄 smile happy|😁 beam grin|😆 laughing|😅 sweat smile relief|🤣 rofl rolling laugh|🙂 slight smile|🙃 upside down|😉 wink|😊 blush|😇 angel halo|🥰 hearts adore|😍 heart eyes|😘 kiss
😋 yum delicious|😜 tongue wink|🤪 zany crazy|🤗 hug|🤭 oops giggle|🤫 shush quiet|🤐 zipper silent|🤨 raised eyebrow|😐 neutral|😑 expressionless|😶 no mouth|🙄 eye roll|😬 grimace|😌 relieved|😔 pensive|😴 sleep
😷 mask sick|🤒 ill fever|🤯 mind blown exploding|🥳 partying|😎 cool sunglasses|🤓 nerd|🧐 monocle|😕 confused|😟 worried|😯 hushed|😳 flushed|🥺 pleading|😨 fear|😭 sob cry loud|😱 scream|😞 disappointed
😩 weary|😤 huff triumph|😡 angry rage|🤬 swearing|💀 skull dead|💩 poo|🤡 clown|👻 ghost|👽 alien|🤖 robot bot|😺 cat smile|🙈 see no evil monkey|🙉 hear no evil|🙊 speak no evil
👋 wave hello bye hi|🤚 back hand|✋ hand stop high five|🖖 vulcan|👌 ok perfect|🤌 pinched|✌️ victory peace|🤞 fingers crossed luck|🤘 rock horns|👈 left point|👉 right point|👆 up point|👇 down point|☝️ one index|✊ fist|👊 bump punch|🙌 raised hands hooray|🤝 handshake deal|💪 strong muscle|🫡 salute|🫶 heart hands|🤷 shrug dunno|🤦 facepalm
💔 broken heart|🧡 orange heart|💛 yellow heart|💚 green heart|💙 blue heart|💜 purple heart|🖤 black heart|🤍 white heart|💕 two hearts|💡 idea bulb|💥 boom collision|✨ sparkles|⭐ star|🌟 glowing star|⚡ zap lightning fast|💤 zzz sleep|💬 speech comment|💭 thought
🐛 bug|🐞 ladybird beetle|🦋 butterfly|🐝 bee|🐙 octopus|🐢 turtle slow|🦀 crab rust|🐍 snake python|🐧 penguin linux|🦆 duck|🐱 cat|🐶 dog|🦊 fox|🐻 bear|🐼 panda|🦄 unicorn|🐴 horse|🐳 whale docker|🐘 elephant
🌱 seedling plant grow|🌳 tree|🌸 blossom flower|🌹 rose|🌻 sunflower|🍀 clover luck|🍁 maple leaf autumn|🌍 earth world|🌙 moon night|☀️ sun|🌈 rainbow|☁️ cloud|🌧️ rain|❄️ snow cold|🌊 wave sea
☕ coffee tea break|🍵 tea|🍺 beer|🍻 beers cheers|🥂 cheers toast|🍷 wine|🍕 pizza|🍔 burger|🌮 taco|🍎 apple|🍌 banana|🍋 lemon|🥑 avocado|🥐 croissant|🍞 bread|🧀 cheese|🍰 cake|🎂 birthday cake|🍪 cookie|🍿 popcorn|🍫 chocolate
⚽ football|🏀 basketball|🏆 trophy win|🥇 gold first|🎯 target|🎲 dice|🎮 game|🎸 guitar music|🎵 note music|🎬 film|🎨 art palette|📷 camera|🎁 gift present|🎈 balloon|🚲 bicycle|🚗 car|✈️ plane flight|🚢 ship boat|⛵ sail boat|🏠 house home|🏖️ beach holiday|⛺ tent camp
⏰ alarm clock time|⌛ hourglass wait|📅 calendar date|📌 pin|📎 clip|📝 memo note write|📈 chart up|📉 chart down|📦 package box|🔧 wrench fix|🔨 hammer|⚙️ gear settings|🔒 lock|🔑 key|🔍 search magnifier|🧪 test tube|💻 laptop computer|💾 disk save|🗑️ trash|🔔 bell|🔕 mute bell|📣 megaphone announce|💰 money|🧵 thread
❓ question|❗ exclamation|⚠️ warning|🚧 construction wip|⛔ no entry|🆗 ok|🆒 cool|➕ plus add|➖ minus|♻️ recycle|🔁 repeat again|⬆️ up|⬇️ down|➡️ right|⬅️ left|🔴 red|🟠 orange|🟡 yellow|🟢 green|🔵 blue|🟣 purple|⚫ black|⚪ white|🏁 finish flag|🚩 flag red|🏳️‍🌈 pride rainbow flag`;

export const EMOJI = TABLE.trim().split(/[|\n]/u).map((line) => {
  const [emoji, ...words] = line.trim().split(" ");
  return { emoji, words };
});

/** Those that a message's own row of buttons offers. */
export const QUICK = ["👍", "❤️", "😂", "🎉", "👀", "🙏"];

/** Those that fit what was typed: words that begin so. */
export function findEmoji(typed, most = 200) {
  const wanted = typed.toLowerCase().trim().split(/\s+/u).filter(Boolean);
  const fits = ({ words }) => wanted.every((want) => words.some((word) => word.startsWith(want)));
  return EMOJI.filter(fits).slice(0, most);
}

const names = new Map(EMOJI.map(({ emoji, words }) => [emoji, words.join(" ")]));

/** What an emoji shows, in words. */
export const emojiName = (emoji) => names.get(emoji) || emoji;
