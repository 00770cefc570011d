"""Names of columns in other languages than English, and what they are called here.

A name is known where all of it is, besides a suffix that numbers answers: 回答A, Antwort 2, réponse_b.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache


def _plain(name: str) -> str:
    """Return a name in small letters, without accents, with _ for what parts words."""
    parts = unicodedata.normalize("NFD", name.strip().lower())
    if parts.isascii():
        bare = parts
    else:
        bare = unicodedata.normalize("NFC", "".join(each for each in parts if not "\u0300" <= each <= "\u036f"))
    return re.sub(r"[\s_-]+", "_", bare)


# What a field is called here → its names in Chinese, German, French, Spanish, Portuguese, Italian, Russian, Japanese
# and Korean, in small letters and without accents.
_WORDS = {
    "prompt": "提示 提示词 提示語 用户输入 eingabeaufforderung промпт プロンプト 프롬프트",
    "question": "问题 問題 提问 问句 frage pregunta pergunta domanda вопрос 質問 질문",
    "instruction": "指令 指示 说明 anweisung instruccion consigne instrucao istruzione инструкция 지시 명령",
    "input": "输入 輸入 eingabe entree entrada ingresso ввод 入力 입력",
    "output": "输出 輸出 ausgabe sortie salida saida uscita вывод 出力 출력",
    "answer": "回答 答案 答复 回复 回應 antwort reponse respuesta resposta risposta ответ 答え 返答 답변 응답",
    "reference": "参考答案 标准答案 參考答案 referenzantwort musterantwort reponse_de_reference "
    "respuesta_de_referencia эталон",
    "system": "系统 系統 系统提示 系统提示词 systemnachricht systemprompt systeme sistema система システム 시스템",
    "history": "历史 歷史 对话历史 verlauf historique historial historico cronologia история 履歴 기록",
    "conversation": "对话 對話 会话 gesprach unterhaltung conversacion conversa conversazione диалог 会話 대화",
    "text": "文本 内容 正文 texte texto testo текст テキスト 텍스트",
    "label": "标签 標籤 etikett etiquette etiqueta etichetta метка ラベル 레이블 라벨",
    "category": "类别 類別 分类 类型 kategorie categorie categoria категория カテゴリ 카테고리",
    "chosen": "选择 选中 优选 更好的回答 优质回答 正例 gewahlt bevorzugt bevorzugte_antwort choisie choisi "
    "elegida elegido escolhida escolhido scelta выбранный предпочтительный 選択 선택",
    "rejected": "拒绝 被拒绝 劣选 较差的回答 劣质回答 负例 abgelehnt abgelehnte_antwort verworfen rejetee "
    "rejete rechazada rechazado rejeitada rejeitado rifiutata отклоненный 拒否 거부",
    "winner": "更好 更优 胜者 获胜者 偏好 优胜 更好答案 besser bessere bessere_antwort gewinner praferenz "
    "bevorzugung gagnant preferee meilleure meilleure_reponse ganador ganadora mejor mejor_respuesta preferencia "
    "vencedor melhor melhor_resposta migliore vincitore лучше победитель предпочтение 勝者 優れた回答 승자 선호",
    "score": "评分 分数 得分 bewertung punktzahl puntuacion pontuacao punteggio оценка 評価 スコア 점수",
    "annotator": "标注者 标注员 annotateur anotador annotatore разметчик アノテーター 주석자",
    "reason": "理由 原因 grund begrundung raison motivo razon razao причина",
}
NAMES = {_plain(name): known for known, names in _WORDS.items() for name in names.split()}
_SUFFIX = re.compile(r"[\s_-]*([a-d]|\d{1,2}|一|二|三|四)$")
_NUMBERS = {"一": "1", "二": "2", "三": "3", "四": "4"}
NUMBERED = {"answer", "output", "score"}  # of which a row may have several
_LONGEST = sorted(NAMES, key=len, reverse=True)
LONGEST_NAME = 200  # characters of a name that is looked up and kept
SHORTEST_PART = 2  # characters of a known name within a longer one


def english(name: str) -> str:
    """Return what a column is called here: answer_a for 回答A; empty where its name is not known as a whole."""
    return _english(name) if len(name) <= LONGEST_NAME else ""


@lru_cache(4096)
def _english(name: str) -> str:
    plain = _plain(name)
    if plain in NAMES:
        return NAMES[plain]
    suffix = _SUFFIX.search(plain)
    known = NAMES.get(plain[: suffix.start()], "") if suffix else ""
    if not suffix or known not in NUMBERED:
        return ""
    return f"{known}_{_NUMBERS.get(suffix[1], suffix[1])}"


def alike(name: str) -> str:
    """Return what a column might be called here, by a known name in it; empty where there is none."""
    plain = _plain(name)
    found = (each for each in _LONGEST if len(each) >= SHORTEST_PART and each in plain)
    return english(name) or next((NAMES[each] for each in found), "")
