"""Three colour tables of 256 entries, 8 bits for red, green and blue, as text, so that no plotting library is needed.

magma and viridis are by N. Smith, S. van der Walt and E. Firing (CC0), coolwarm by K. Moreland ("Diverging Color Maps
for Scientific Visualization", 2009). The texts are base 85 of what matplotlib.colormaps[name](range(256)) gives, times
255, rounded for magma and coolwarm and cut for viridis, as the published pictures were; a test makes them again.
"""

import base64
import functools

import torch
from torch import Tensor

TABLES = {
    "coolwarm": (
        "J50blPQpD<!#+{PKU2m)RmehD$wOGnL|V*6T+T*b&q!a<Nnz4TW7A7y)l6pAPH5OqY1vR~+EH!WQ*PZ<aNbpN-"
        "&S+rSaso9cjH=k<Xd{>U3}(Vedk|)=wX2AVuI>pgzIF5>}H4UXNc}-"
        "itlQR?`w_lY>)A7kn(Sm^Kg^%a+UORmi2X)_I8=}cbfNkocMa3_<NuEeW3Y%q56QM`hleTf~Na~r~HMe{D!Igh^zgHto@6v{"
        "fw{vjj;ZYvHp;<{*tu*lePYow*Qv5|ChM`n7RL&yZ@WK|DC=6p1%K|zyG1Y|DwVFqr(2B!~Ukk{-"
        "?$MsmA@P$Nj6w{jJIUuF3qb%KWj*{IbmZv(5Xp&HA>^`nS*dxzPE#(D=L2_`K5hzS8!;)AqpB^}*Ei!`1Y})$_&H^2XNj$Jg"
        "-5*YL{N@5|Wk%-QYD+3e2R>(AQi(c0<K+vwBV=hWNg)!XIP+~n8X<JjEd+1%mU+~C{X-rU{Y-"
        "Q3*X+}q#V+2GsQ;o8>X+STLP)8yIG<=D~Y*U#tI&gj<6>D9~X)yeAA$m`R_?9;{V(!=f1!tT((@6W&Q&b{!>yYbDs@yxjL%e"
        "V5%wercd^T@LE$FcOruk^*O^~9|8!m9PbsrA68_P?g~zNGfOqW8R^_qw0=xt{m9ocFhz_qCb#w3qj@miMug_pp=quaWnykoT"
        ";P_o|Hdsf+ihiT9?6_N9jQqlNaOgY}?+^`C(CoqqM4ee{}p^q6|{mw5A)ck`5W@{)A&kaF>laq*3B@QZHnifr$QYwm_=?u2O"
        "VgJ$f3W$b@r>wRMCdtm8$U+H*V=yqJ^bX(?fS><q8<Zf2uY*piHRN`q;;b&3cWl!H@PTpZn-Cs-GT}s+oN!eIO*j7f@R7KWO"
        "MAcA2)J{RtOF+>{KhQ@#&qX}VLOaYrI?Fyd$~!m6I5x*NHN`VD#4s|$E-}F?Fu*7;z9cTaA1%8ZEV>pexDqP24Jfq<C$t16"
    ),
    "magma": (
        "000C500jX71_1#G0s#pE0t*5H4FdxY0|OES1QZ1X76t_v1_c@i1{??n9tj5^3J4+#2_y^&CJhQH4ht&~3oQ{0FA@zg6Ad&J4"
        "mK4II2I2(7!N%e5I-6aLL3l89T7(!5lJ8sOCb?XA`ws|5>q7-RVNZyDG^#K5nL=0Uo8<~FA-xg5oI$FXEYFLHV|t#5NtUQZa"
        "WWfJr8j|4{|^cbV3hxL=SdF5O+rqcu5d=N)UNW5qeG$druO3Q4)Mo6MR$?eO45GR~3F)6@FS4eq0uRT^D~}7=K_GfMOYdWEy"
        "~F8h~dTfM^_nY8-"
        ")U9f55ffo>jwa36tkAAxfqfpsB)b|HayB7u1#f_o!^d?SK>B!Yk?f`KK0gC>E5CV_@0frux8i70`KDS?bBfsQJHkSc+ZD}j?"
        "MfRrqNmMnmnEr6LVfSWFVoGyQ!FMpsff1xmbqcDD@F@B~oeW)^hsxy77GkmQye6BQmur+(KHG8u*dbKusw>NpXH+i}^c)U4y"
        "y*YQkI(NW2cEUS##5{GyJaorBbI3k(%06<;KXJ`KanC?-&_Qp~LT}SUZq-"
        "C>)<taCMQqtdYuiU^+(>EONoe0nXy8m|;!S4bPG#gzWaUs~=Tc+nQ)1~<V(M05>sMgxSYYj1U+!C8?_FN-UtaNGUGidG@?>1"
        "|WnA=UT=Z#N^=n-"
        "AY+UwkT=#HX_i|kLbX@p$T={ri`FUOWdtLf{UiyDt`hj2jgJ1iFVEcz*{E1=wiemhXWBiU}{E%h+l4kvsXZ@CF{g`R}nri)<"
        "YyO>V{-16Bp>F=8Z~mom{-"
        "<*OsdN6SbpEV%{;qfauz3Emdj7O~{<eJnw|@S)fBw6H{=I_!zl8q5h5o{a{=|s>#)|&PjQ+}v{>+d5&5-"
        "`jlK#<@{?nEI)tCO)nf}<C{o0)U+@Ag3p#9*X{o<qj<E8!Or~T)t{pqUx>#Y3juKez>{P42;^0fT)w*2<E{P(&1`Mdo4z5M;"
        "Z"
    ),
    "viridis": (
        "L;+Mp0#!r<S49O_MFv_$2wO%8Tt*9CMhss@4q-<RVn-2UM-pX66lO;iXGa!kM;K~I8EZ%yY)Bk#NF8rT9&kt?aY!L@NFsAcB"
        "Xmb4bw?(4M<;hjD0oLIc}FXHM=X0rEqq2Vd`2*RMlpUxGJi!he?>KbMK*y%H-"
        "SVsf<rokLpy^*JcL3$ghD=rLO_K<L54v>hCoAyKtzW>MTb8}h(1V&K1qo^N{Ky7i9Jk-JWYx`PKrBFiaSw?I#P=|Q;RuNi#b"
        "(`I97`|SBy7Uj5k?~Hd>4}TZ}baj5S@1G+vD~UyU<hjWc15GGdJ~V~sInjWK17F=mZ0XN@pujW219FKUf0YmP2#jxKGEEpCo"
        "2Z;mW*jx2GGEOL%3bB-%?jw*GIDt3-4caAA|jwyMLD0+@4dX6Z2jwgJMCw-"
        "15evT%8jwXPPCV`G6f{rDFjU<GPB!!J6hK(bKjU$MSBZ-"
        "Y7iH#zPjUtPUA&iY7jf^3Vj3AGUAdrk8k&GXbj31MWAC!w9m5U#iiyoJX9+-+AnTj5niXNJY9-E0CoQWQth#sDZ9-"
        "oLFpobr!haaMbAESmKq=g`*g(0SeA*X~Qr-UP@gCnVeB&vcXtAQr0fhVniD6W4guYW4Aek-wkEU|qqvV1SIdoZ+mGPQa$ws|"
        "$Tcs96qIJtH?xpq6cbv?UuKD={4y>ddnaYVjwMZa%Hz-~#wZA-"
        "#zO~PwW!)Z~(Xj8>!RmNsl#${Q@WLwB$Uddr#$zWp2Uu4T&XUtq_%v)>CS#8c(aL!h8&sB8LRCmx)dC^gP(ocTUPJz=*gVRf"
        "f)JcfdM~l@)jn+hv)<crlL6z4(m)Jg<*gT!tI-l7%qS`m5+BK)!GpgG%t=urL+%B@+EVbP$x7{ha-Y31@Ccob#!rvmr-"
        "yz4~AIjh!&EOr+;T+Q88`R+%*Wwx4;uzfG7~kU<;o}(O;~3}U8R_I1?Bp8m<s0$k9P{NK_U0e><{|p#BK_wi"
    ),
}


@functools.lru_cache(maxsize=16)
def colour_table(name: str, device: torch.device) -> Tensor:
    """(256, 3) float32, whole numbers 0 ... 255; entry 0 is the smallest value."""
    entries = torch.frombuffer(bytearray(base64.b85decode(TABLES[name])), dtype=torch.uint8)
    return entries.reshape(256, 3).float().to(device)
